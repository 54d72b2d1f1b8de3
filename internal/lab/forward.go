package lab

import (
	"context"
	"encoding/json"
	"net/netip"
	"time"

	"tunnelmedic/internal/evidence"
)

// The old names, until every test has the new ones.

func (w *World) SupervisorURL() string                       { return w.Supervisor.URL() }
func (w *World) Options(slug string) json.RawMessage         { return w.Supervisor.Options(slug) }
func (w *World) RunParameters() []string                     { return w.Supervisor.RunParameters() }
func (w *World) State(slug string) evidence.AddOnState       { return w.Supervisor.State(slug) }
func (w *World) SetState(slug string, s evidence.AddOnState) { w.Supervisor.SetState(slug, s) }
func (w *World) Log(slug string) string                      { return w.Supervisor.Log(slug) }
func (w *World) Restarts() int                               { return w.Supervisor.Restarts() }
func (w *World) Inject(i Injection) func()                   { return w.Supervisor.Inject(i) }
func (w *World) ClearInjections()                            { w.Supervisor.ClearInjections() }
func (w *World) OriginURL() string                           { return w.Core.URL() }
func (w *World) Notifications() map[string]Notification      { return w.Core.Notifications() }
func (w *World) NotificationLog() []NotificationStep         { return w.Core.NotificationLog() }
func (w *World) Events() []Event                             { return w.Core.Events() }
func (w *World) NotifyCalls() []Event                        { return w.Core.NotifyCalls() }
func (w *World) WrongTokens() int                            { return w.Core.WrongTokens() }
func (w *World) SignIns() int                                { return w.Core.SignIns() }
func (w *World) EntityStates() map[string]json.RawMessage    { return w.Core.EntityStates() }
func (w *World) CoreLog() string                             { return w.Core.Log() }
func (w *World) UpdateCore(version string)                   { w.Core.Update(version) }
func (w *World) ConnectorURL() string                        { return w.Connector.URL() }
func (w *World) Transport() evidence.Transport               { return w.Connector.Transport() }
func (w *World) Connections() int                            { return w.Connector.Connections() }
func (w *World) Ready(ctx context.Context) error             { return w.Connector.Ready(ctx) }
func (w *World) Crash()                                      { w.Connector.Crash() }
func (w *World) Strangers(a, b, c int)                       { w.Connector.Strangers(a, b, c) }
func (w *World) StrangersSockets(n int)                      { w.Connector.StrangersSockets(n) }
func (w *World) PublicURL() string                           { return w.Edge.URL() }
func (w *World) AskQUIC(ctx context.Context, edges ...netip.AddrPort) evidence.Look {
	return w.Edge.AskQUIC(ctx, edges...)
}
func (w *World) ChangeCloudflare(change func(*Cloudflare)) { w.Outside.Change(change) }
func (w *World) Push(version string, at time.Time)         { w.Outside.Push(version, at) }
func (w *World) UserInstalls(a AddOn) error                { return w.User.Installs(a) }
func (w *World) UserRestarts(slug string) error            { return w.User.Restarts(slug) }
func (w *World) UserRestartsCore()                         { w.User.RestartsCore() }
func (w *World) UserSetsOptions(slug string, raw json.RawMessage) error {
	return w.User.SetsOptions(slug, raw)
}
func (w *World) UserSetsProtocol(slug string, p evidence.Protocol) error {
	return w.User.SetsProtocol(slug, p)
}
func (w *World) UserStarts(slug string) error     { return w.User.Starts(slug) }
func (w *World) UserStops(slug string) error      { return w.User.Stops(slug) }
func (w *World) UserUninstalls(slug string) error { return w.User.Uninstalls(slug) }
