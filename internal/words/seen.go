package words

import (
	"fmt"
	"strconv"
	"strings"

	"tunnelmedic/internal/evidence"
)

// Pieces are said one after the other, parted by commas: texts, and what a machine said.
type Pieces []any

// Sight is something that is looked at, as a piece of evidence.
type Sight struct {
	Name  string // of the look, as it is kept
	Title Key

	said func(evidence.Evidence) Pieces // nil: others say it
}

// Sights are all there are, in the order of the way from outside to Home Assistant.
func Sights() []Sight {
	return []Sight{
		{"public", "page.seen.public", func(e evidence.Evidence) Pieces { return when(e.Public.Stage != evidence.NotAsked, Look(e.Public)) }},
		{"page", "page.seen.page", func(e evidence.Evidence) Pieces { return when(e.Page.Stage != evidence.NotAsked, Look(e.Page)) }},
		{"connector", "page.seen.connector", func(e evidence.Evidence) Pieces { return Connector(e.Connector) }},
		{"quic", "page.seen.quic", func(e evidence.Evidence) Pieces { return QUIC(e.QUIC) }},
		{"addon", "page.seen.addon", func(e evidence.Evidence) Pieces { return addOn(e.AddOn) }},
		{"service", "page.seen.service", func(e evidence.Evidence) Pieces { return when(e.Service.Stage != evidence.NotAsked, Look(e.Service)) }},
		{"direct", "page.seen.direct", func(e evidence.Evidence) Pieces { return when(e.Direct.Stage != evidence.NotAsked, Look(e.Direct)) }},
		{"core", "page.seen.core", func(e evidence.Evidence) Pieces { return core(e.Core) }},
		{"core log", "page.seen.core-log", func(e evidence.Evidence) Pieces { return CoreLog(e.CoreLog) }},
		{"start page", "page.seen.start-page", func(e evidence.Evidence) Pieces { return StartPage(e.Frontend) }},
		{"changed before", "page.seen.changed-before", nil},
		{"turned away", "page.seen.turned-away", nil},
		{"internet", "page.seen.internet", func(e evidence.Evidence) Pieces {
			return when(e.Internet != evidence.InternetUnknown, Internet(e.Internet))
		}},
		{"supervisor", "page.seen.supervisor", func(e evidence.Evidence) Pieces { return Pieces{e.SupervisorAway} }},
		{"carried", "page.seen.carried", func(e evidence.Evidence) Pieces { return Carried(e.Connector) }},
		{"log", "page.seen.log", func(e evidence.Evidence) Pieces { return AppLog(e.Log) }},
		{"zone", "page.seen.zone", func(e evidence.Evidence) Pieces { return Pieces{member("seen.websockets.", e.Zone.WebSockets)} }},
		{"name at home", "page.seen.name-at-home", func(e evidence.Evidence) Pieces { return when(e.Names.House.Done(), Lookup(e.Names.House)) }},
		{"name outside", "page.seen.name-outside", func(e evidence.Evidence) Pieces { return when(e.Names.World.Done(), Lookup(e.Names.World)) }},
	}
}

func when(known bool, p Pieces) Pieces {
	if known {
		return p
	}
	return nil
}

// Seen gives the evidence in short, by name of the look.
func (l *Lang) Seen(e evidence.Evidence) map[string]string {
	seen := map[string]string{}
	for _, s := range Sights() {
		if s.said == nil {
			continue
		}
		if said := l.Write(s.said(e)); said != "" {
			seen[s.Name] = said
		}
	}
	return seen
}

// Trouble is what ended a look.
func Trouble(t evidence.Trouble) Text { return member("seen.trouble.", t) }

func stage(s evidence.Stage) Text { return member("seen.stage.", s) }

// Look gives a look in a few words.
func Look(l evidence.Look) (p Pieces) {
	if l.Status != 0 {
		p = append(p, digits(fmt.Sprintf("HTTP %d", l.Status)))
	} else {
		p = append(p, stage(l.Stage))
	}
	if l.Stage > evidence.Answered {
		p = append(p, stage(l.Stage))
	}
	if l.Trouble != evidence.NoTrouble {
		p = append(p, Trouble(l.Trouble))
	}
	if l.Status >= 400 || l.Status == 0 {
		p = append(p, body(l.Body)...)
	}
	if ray := l.CFRay(); ray != "" {
		p = append(p, "cf-ray "+ray)
	}
	if l.Outside {
		p = append(p, Of("seen.outside"))
	}
	return p
}

// body is what an answer says, never its markup.
func body(text string) Pieces {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil
	}
	if !strings.HasPrefix(text, "<") {
		line, _, _ := strings.Cut(text, "\n")
		return Pieces{strconv.Quote(shortened(strings.TrimSpace(line), 80))}
	}
	_, rest, titled := strings.Cut(text, "<title>")
	title, _, ends := strings.Cut(rest, "</title>")
	if title = strings.Join(strings.Fields(title), " "); !titled || !ends || title == "" || strings.Contains(title, "<") {
		return Pieces{Of("seen.page")}
	}
	return Pieces{Of("seen.titled", With{"title": shortened(title, 80)})}
}

func shortened(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// Lookup gives a resolver's answer in a few words.
func Lookup(l evidence.Lookup) Pieces {
	switch {
	case len(l.Addrs) > 0:
		p := make(Pieces, len(l.Addrs))
		for i, a := range l.Addrs {
			p[i] = a
		}
		return p
	case l.Trouble != evidence.NoTrouble:
		return Pieces{Trouble(l.Trouble)}
	}
	return Pieces{Of("seen.no-address")}
}

// QUIC gives the edge's answer over QUIC, nothing if it was not asked.
func QUIC(l evidence.Look) Pieces {
	var key Key
	switch passes := l.QUICPasses(); {
	case passes == evidence.On:
		key = "seen.quic.passes"
	case l.Trouble == evidence.TLSFailed:
		key = "seen.quic.refused"
	case l.Trouble == evidence.BadCertificate:
		key = "seen.quic.inspected"
	case l.Trouble == evidence.Unverified:
		key = "seen.quic.unverified"
	case passes == evidence.Off && l.Stage >= evidence.Connected:
		key = "seen.quic.hangs"
	case passes == evidence.Off:
		key = "seen.quic.blocked"
	case l.Done():
		key = "seen.quic.unasked"
	default:
		return nil
	}
	return Pieces{Of(key, With{"detail": l.Detail})}
}

// Connector gives the connector's word on itself, nothing if it was not asked.
func Connector(c evidence.Connector) Pieces {
	switch {
	case !c.Asked:
		return nil
	case c.Status == 0:
		return Pieces{Of("seen.ready.trouble", With{"trouble": Trouble(c.Trouble)})}
	}
	p := Pieces{digits(fmt.Sprintf("/ready %d", c.Status)), Of("seen.connections", With{"n": c.Ready})}
	if c.Transport != evidence.NoTransport {
		p[1] = Of("seen.connections-over", With{"n": c.Ready, "transport": c.Transport})
	}
	switch {
	case c.Route.Asked && c.Route.Found:
		p = append(p, Of("seen.leads", With{"service": c.Route.Service}))
	case c.Route.Asked:
		p = append(p, Of("seen.no-rule"))
	}
	return p
}

// Carried gives what the connector carried while the check was made, nothing if that is
// not known.
func Carried(c evidence.Connector) Pieces {
	rise, known := c.Carried()
	if !known {
		return nil
	}
	p := Pieces{Of("seen.requests", With{"n": rise.Requests})}
	if n := rise.Codes[400]; n > 0 {
		p = append(p, Of("seen.refused400", With{"n": n}))
	}
	if rise.Errors > 0 {
		p = append(p, Of("seen.not-passed-on", With{"n": rise.Errors}))
	}
	return p
}

// AppLog gives what the app's log tells of, in counts, nothing if there is nothing of the
// kind.
func AppLog(l evidence.Log) (p Pieces) {
	if l.StartFailed != evidence.StartClean {
		why := map[evidence.StartFailure]Key{evidence.StartDNSEntry: "seen.start.dns-entry", evidence.StartTunnelName: "seen.start.tunnel-name",
			evidence.StartAuthentication: "seen.start.login", evidence.StartAPIAway: "seen.start.api-away", evidence.StartNoEdge: "seen.start.no-edge"}[l.StartFailed]
		if why == "" {
			why = "seen.start.other"
		}
		p = append(p, Of("seen.log.start", With{"why": Of(why)}))
	}
	if l.LoginWanted {
		p = append(p, Of("seen.log.login"))
	}
	for _, c := range []struct {
		n   int
		key Key
	}{
		{l.Rejected, "seen.log.rejected"}, {l.QUICFailed, "seen.log.quic"}, {l.HTTP2Failed, "seen.log.http2"}, {l.Unroutable, "seen.log.unroutable"},
		{l.Untrusted, "seen.log.untrusted"}, {l.Unspoken, "seen.log.unspoken"}, {l.Unresolved, "seen.log.unresolved"}, {l.Lost, "seen.log.lost"},
		{l.NoHost, "seen.log.no-host"}, {l.OriginTLS, "seen.log.origin-tls"}, {l.OriginOff, "seen.log.origin-off"},
	} {
		if c.n > 0 {
			p = append(p, Of("seen.log.times", With{"what": Of(c.key), "n": c.n}))
		}
	}
	if l.FellBack {
		p = append(p, Of("seen.log.fell-back"))
	}
	if l.Unknown > 0 {
		p = append(p, Of("seen.log.unknown", With{"n": l.Unknown, "last": shortened(l.LastError, 120)}))
	}
	return p
}

// CoreLog gives what Home Assistant's own log says of the last half hour, nothing if
// nothing that matters.
func CoreLog(l evidence.CoreLog) (p Pieces) {
	if l.Refused > 0 {
		p = append(p, Of("seen.core.refused", With{"n": l.Refused, "reason": Of(forwarded[l.Forwarded])}))
	}
	for c, n := range l.Closed {
		if n > 0 {
			by := any(evidence.Client(c)) // a browser's name is one in every language
			if c == 0 {
				by = Of("seen.core.others")
			}
			p = append(p, Of("seen.core.closed", With{"n": n, "by": by}))
		}
	}
	if l.Bans > 0 {
		p = append(p, Of("seen.core.bans", With{"n": l.Bans}))
	}
	return p
}

// StartPage gives what came of the look at the start page, nothing if it was not made.
func StartPage(f evidence.Frontend) Pieces {
	switch {
	case !f.Done():
		return nil
	case f.Script == "":
		return append(Look(f.Page), Of("seen.start-page.foreign"))
	}
	p := Pieces{Of("seen.start-page.names", With{"script": f.Script})}
	if f.Entry.Done() {
		p = append(p, digits(fmt.Sprintf("HTTP %d", f.Entry.Status)))
	}
	switch {
	case f.OwnScript == "":
	case f.OwnScript == f.Script:
		p = append(p, Of("seen.start-page.same"))
	default:
		p = append(p, Of("seen.start-page.other", With{"script": f.OwnScript}))
	}
	if f.Cached() {
		p = append(p, Of("seen.start-page.cached"))
	}
	return p
}

func addOn(a evidence.AddOn) Pieces {
	switch {
	case !a.Asked:
		return nil
	case !a.Installed:
		return Pieces{Of("seen.app.missing", With{"app": a.Slug})}
	}
	p := Pieces{strings.TrimSpace(a.Slug + " " + string(a.State))}
	if a.ProtocolKnown {
		p = append(p, Of("seen.app.protocol", With{"protocol": a.Protocol}))
	}
	return p
}

func core(c evidence.Core) Pieces {
	if !c.Asked {
		return nil
	}
	p := Pieces{strings.TrimSpace(fmt.Sprintf("%d %s", c.Status, c.State))}
	//exhaustive:ignore
	switch c.Runs {
	case evidence.On:
		p = append(p, Of("seen.core.runs"))
	case evidence.Off:
		p = append(p, Of("seen.core.stands"))
	}
	return p
}

// Internet is Supervisor's word on the internet.
func Internet(i evidence.Internet) Pieces { return Pieces{member("seen.internet.", i)} }
