// Package lab is a whole small world on loopback: Supervisor, Home Assistant,
// the Cloudflared add-on with its connector, Cloudflare's edge and a resolver
// outside, in one process over real sockets. The daemon runs against it without
// a change; [World.Env] is all it needs to be told.
//
// Its parts stand apart: [Supervisor], [Core], [Connector], [Edge], [Outside], and the
// [Hands] of people; docs/LAB.md is the table of what Supervisor answers, and of the faults.
//
// The world answers as the real systems do (their texts, headers, orders and
// oddities), and its [Faults] can be changed while it runs. What is always the same of
// their words stands beside the code: samples.json, cloudflared.txt, metrics.txt. Beside
// the faults there are single [Injection]s, which spoil one call of Supervisor's API or of
// what is asked outside, and the user's hands ([Hands]).
//
// A stranger can drive it by hand, with the URL that [World.ControlURL] gives:
//
//	curl $LAB/control                                   what there is
//	curl $LAB/control/state                             the world now, as JSON
//	curl -X PUT $LAB/control/faults -d '{"upgrade":{"quic":{"share":1}}}'
//	curl -X POST $LAB/control/user -d '{"action":"stop"}'
//	curl -X POST $LAB/control/inject -d '{"method":"POST","path":"/addons/*/restart","status":500,"times":1}'
//
// The link between edge and connector is a call, not a socket: what it does to a
// request (marked as a WebSocket or not) is part of the world; its wire format is
// nobody's business here.
package lab
