package doctor

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/survey"
	"tunnelmedic/internal/words"
)

// rowOf is a row of the table: the looks that it rests on, and how it is made of what
// they saw.
type rowOf struct {
	of  []survey.Name
	row func(*examination, survey.Finding) row
}

// row is what a look comes to, in no language yet.
type row struct {
	name    words.Text
	asked   string // as a terminal shows it
	came    words.Pieces
	verdict Verdict
	do      words.Text
	took    time.Duration
}

// in gives the row in a language; its name and what was asked stay English in a report.
func (r row) in(l *words.Lang) Row {
	out := Row{Component: l.Text(r.name), Asked: r.asked, Came: l.Write(r.came), Verdict: r.verdict, Took: r.took}
	if r.do.Key != "" {
		out.Do = l.Text(r.do)
	}
	return out
}

func (r row) empty() bool { return r.name.Key == "" }

// said is one piece.
func said(key words.Key, with ...words.With) words.Pieces {
	return words.Pieces{words.Of(key, with...)}
}

// nothing is to be done.
var nothing words.Text

// table is the rows in their order. Every look of the plan has one.
var table = [...]rowOf{
	{[]survey.Name{survey.Names}, houseName},
	{[]survey.Name{survey.Names}, worldName},
	{[]survey.Name{survey.Public}, publicRow},
	{[]survey.Name{survey.Other}, otherRow},
	{[]survey.Name{survey.Public}, certificateRow},
	{[]survey.Name{survey.Page}, pageRow},
	{[]survey.Name{survey.StartPage}, startPageRow},
	{[]survey.Name{survey.Direct}, directRow},
	{[]survey.Name{survey.Service}, serviceRow},
	{[]survey.Name{survey.AddOn}, addOnRow},
	{[]survey.Name{survey.Start}, startRow},
	{[]survey.Name{survey.Connector, survey.Service}, connectorRow},
	{[]survey.Name{survey.QUIC}, quicRow},
	{[]survey.Name{survey.Public}, carriedRow},
	{[]survey.Name{survey.Log}, logRow},
	{[]survey.Name{survey.Core}, coreRow},
	{[]survey.Name{survey.CoreLog}, coreLogRow},
	{[]survey.Name{survey.Internet}, internetRow},
}

func houseName(x *examination, f survey.Finding) row {
	l := f.Seen.Names.House
	if !x.named() {
		return row{}
	}
	r := row{name: words.Of("doctor.row.name"), asked: l.Asked, came: words.Lookup(l), took: l.Took, verdict: Bad, do: words.Of("doctor.do.dns")}
	switch {
	case l.Trouble == evidence.NameNotFound && !f.Seen.Names.World.Found():
		r.do = words.Of("doctor.do.record")
	case l.Found() && !slices.ContainsFunc(l.Addrs, func(a string) bool { return !survey.Inside(a) }):
		r.verdict, r.do = Beside, nothing
		r.came = append(r.came, words.Of("doctor.came.inside"))
	case l.Found():
		r.verdict, r.do = Good, nothing
	}
	return r
}

func worldName(x *examination, f survey.Finding) row {
	l := f.Seen.Names.World
	if !x.named() || !l.Done() {
		return row{}
	}
	r := row{name: words.Of("doctor.row.outside"), asked: l.Asked, came: words.Lookup(l), took: l.Took, verdict: Good}
	switch {
	case l.Trouble == evidence.NameNotFound:
		r.verdict, r.do = Bad, words.Of("doctor.do.record")
	case !l.Found():
		r.verdict = Beside // out of reach: it says nothing of the name
	}
	return r
}

// named says whether resolvers are needed: an address needs none.
func (x *examination) named() bool {
	_, err := netip.ParseAddr(x.place.Public.URL.Hostname())
	return err != nil
}

func publicRow(x *examination, f survey.Finding) row {
	return x.handshakeRow(family(f.Seen.Network), f.Seen.Public, false)
}

func otherRow(x *examination, f survey.Finding) row {
	return x.handshakeRow(family(f.Seen.Others), f.Seen.Other, true)
}

// handshakeRow is the probe, or the one over the other family.
func (x *examination) handshakeRow(family string, l evidence.Look, second bool) row {
	r := row{name: words.Of("doctor.row.public"), asked: x.asked(l) + " as a WebSocket", came: cameOf(l), took: l.Took, verdict: Bad}
	if family != "" {
		r.name = words.Of("doctor.row.public-over", words.With{"family": family})
	}
	switch {
	case second && l.Stage < evidence.Connected && l.Trouble == evidence.Unreachable:
		r.verdict, r.came = Beside, said("doctor.came.no-way", words.With{"family": family})
	case !l.Done(), l.Trouble == evidence.Unusable:
		r.verdict = Unsure
	case l.Healthy() && l.CFRay() == "":
		r.verdict, r.came = Unsure, append(r.came, words.Of("doctor.came.not-cloudflare"))
	case l.Healthy():
		r.verdict = Good
		if l.SignIn.Refused() {
			r.do = words.Of("doctor.do.token")
		}
	default:
		r.do = words.Of("doctor.do.verdict")
	}
	return r
}

// asked is what a look at the public name asked, without the name.
func (x *examination) asked(l evidence.Look) string {
	return strings.Replace(l.Asked, (&url.URL{Scheme: x.place.Public.URL.Scheme, Host: x.place.Public.URL.Host}).String(), "", 1)
}

// cameOf is words.Look with what a person wants to know besides.
func cameOf(l evidence.Look) words.Pieces {
	p := words.Look(l)
	if l.Healthy() {
		p = said("doctor.came.greets", words.With{"version": l.HAVersion})
		if key := map[evidence.SignIn]words.Key{evidence.TokenAccepted: "doctor.came.signed-in", evidence.TokenRefused: "doctor.came.token-refused",
			evidence.TokenWithheld: "doctor.came.token-withheld", evidence.TokenKept: "doctor.came.token-kept"}[l.SignIn]; key != "" {
			p = append(p, words.Of(key))
		}
		if ray := l.CFRay(); ray != "" {
			p = append(p, "cf-ray "+ray)
		}
	}
	if l.Detail != "" && l.Trouble != evidence.NoTrouble {
		p = append(p, l.Detail)
	}
	return p
}

func certificateRow(_ *examination, f survey.Finding) row {
	l, now := f.Seen.Public, f.Seen.At
	if l.TLS == nil {
		return row{}
	}
	t := l.TLS
	r := row{name: words.Of("doctor.row.certificate"), asked: "the TLS handshake of the same",
		came:    words.Pieces{t.Version, words.Of("doctor.came.certificate", words.With{"names": strings.Join(t.Names, " "), "issuer": t.Issuer, "day": t.NotAfter.UTC().Format(time.DateOnly)})},
		verdict: Good}
	if l.Showed.CertificateWanted {
		key := words.Key("doctor.came.wanted")
		if l.Showed.Certificate {
			key = "doctor.came.wanted-given"
		}
		r.came = append(r.came, words.Of(key))
	}
	if t.NotAfter.Sub(now) < expirySoon {
		r.verdict, r.do = Unsure, words.Of("doctor.do.certificate")
	}
	return r
}

func pageRow(x *examination, f survey.Finding) row {
	l := f.Seen.Page
	r := row{name: words.Of("doctor.row.page"), asked: x.asked(l), came: cameOf(l), took: l.Took, verdict: Bad}
	switch {
	case !l.Done():
		r.verdict = Unsure
	case l.Answered() && l.Status < 400:
		r.verdict = Good
	}
	return r
}

func directRow(_ *examination, f survey.Finding) row {
	l := f.Seen.Direct
	if !l.Done() {
		return row{name: words.Of("doctor.row.direct"), asked: "the handshake, past the tunnel", came: said("doctor.came.address-unknown"), verdict: Unsure}
	}
	r := row{name: words.Of("doctor.row.direct"), asked: l.Asked + " as a WebSocket, past the tunnel", came: cameOf(l), took: l.Took, verdict: Bad, do: words.Of("doctor.do.local")}
	switch {
	case l.Healthy():
		r.verdict, r.do = Good, nothing
	case l.Trouble == evidence.Unusable || l.Trouble == evidence.NameNotFound:
		r.verdict, r.do = Unsure, nothing
	}
	return r
}

func serviceRow(_ *examination, f survey.Finding) row {
	l, route := f.Seen.Service, f.Seen.Connector.Route
	if !l.Done() {
		return row{} // it is Home Assistant itself
	}
	r := row{name: words.Of("doctor.row.service"), asked: l.Asked + " as a WebSocket: where the tunnel leads", came: cameOf(l), took: l.Took, verdict: Bad, do: words.Of("doctor.do.proxy", words.With{"service": route.Service})}
	if l.Healthy() {
		r.verdict, r.do = Good, nothing
	}
	return r
}

func addOnRow(x *examination, f survey.Finding) row {
	err := f.Err
	if x.target.Slug == "" {
		err = x.found
	}
	r := row{name: words.Of("doctor.row.app"), asked: "Supervisor about " + x.target.Slug, verdict: Bad}
	switch a := f.Seen.AddOn; {
	case err != nil && !a.Asked:
		r.came, r.verdict = words.Pieces{err}, Unsure
	case !a.Installed:
		r.asked, r.came, r.do = "Supervisor about the Cloudflared app", said("doctor.came.not-installed"), words.Of("doctor.do.install")
	default:
		r.came = words.Pieces{a.Name + " " + a.Version, string(a.State)}
		if a.ProtocolKnown {
			r.came = append(r.came, words.Of("seen.app.protocol", words.With{"protocol": a.Protocol}))
		}
		if a.ProtocolKnown && a.Grace == "" {
			r.came = append(r.came, words.Of("doctor.came.long-restart"))
		}
		if a.State == evidence.StateStarted {
			r.verdict = Good
		} else {
			r.do = words.Of("doctor.do.start")
		}
	}
	return r
}

// startRow says whether the app could start, where that hangs on Cloudflare's API.
func startRow(_ *examination, f survey.Finding) row {
	if f.Seen.AddOn.HasToken {
		return row{}
	}
	r := row{name: words.Of("doctor.row.start"), asked: "Cloudflare's API, which the app needs to start", came: said("doctor.came.answers"), took: f.Took, verdict: Good}
	if f.Seen.AddOn.Startable == evidence.Off {
		r.came, r.verdict, r.do = said("doctor.came.silent"), Unsure, words.Of("doctor.do.no-restart")
	}
	return r
}

func connectorRow(_ *examination, f survey.Finding) row {
	c := f.Seen.Connector
	r := row{name: words.Of("doctor.row.connector"), asked: "cloudflared: /ready /diag/tunnel /config", came: words.Connector(c), verdict: Bad, do: words.Of("doctor.do.log")}
	if n := c.Counters; n != nil && n.Version != "" {
		r.came = append(said("doctor.came.version", words.With{"version": n.Version}), r.came...)
	}
	switch {
	case c.Up() && c.Route.Asked && !c.Route.Found:
		r.do = words.Of("doctor.do.host-name")
	case c.Up():
		r.verdict, r.do = Good, nothing
	case c.Status == 0 && c.Trouble != evidence.Refused:
		r.verdict, r.do = Unsure, nothing
	}
	return r
}

func quicRow(_ *examination, f survey.Finding) row {
	l, in := f.Seen.QUIC, f.Seen.Connector.Transport
	if !l.Done() {
		return row{} // there was no edge to ask
	}
	r := row{name: words.Of("doctor.row.quic"), asked: "Cloudflare's edge, over UDP to port 7844", came: words.QUIC(l), took: l.Took, verdict: Unsure}
	switch passes := l.QUICPasses(); {
	case passes == evidence.On:
		r.verdict = Good
	case passes == evidence.Off && in == evidence.OverQUIC: // the tunnel itself shows that it passes
		r.came, r.verdict = said("doctor.came.quic-used"), Beside
	case passes == evidence.Off && l.Stage >= evidence.Connected:
		r.do = words.Of("doctor.do.inspection")
	case passes == evidence.Off:
		r.do = words.Of("doctor.do.udp")
	}
	return r
}

func carriedRow(x *examination, f survey.Finding) row {
	if !x.place.inside() || x.conn == nil {
		return row{}
	}
	rise, known := f.Seen.Connector.Carried()
	r := row{name: words.Of("doctor.row.carried"), asked: "cloudflared's counters before and after the probe", came: said("doctor.came.unread"), verdict: Unsure}
	if !known {
		return r
	}
	r.came, r.verdict = words.Carried(f.Seen.Connector), Good
	if rise.Requests == 0 {
		r.verdict = Beside
		if l := f.Seen.Public; l.Healthy() && l.CFRay() != "" {
			r.verdict, r.do = Unsure, words.Of("doctor.do.other")
		}
	}
	return r
}

func logRow(_ *examination, f survey.Finding) row {
	return telling(f.Seen.Log.Asked, row{name: words.Of("doctor.row.log"), asked: "telling lines of the connector's present run", came: words.AppLog(f.Seen.Log)})
}

func coreLogRow(_ *examination, f survey.Finding) row {
	return telling(f.Seen.CoreLog.Asked, row{name: words.Of("doctor.row.core-log"), asked: "refused requests, of the last half hour", came: words.CoreLog(f.Seen.CoreLog), took: f.Took})
}

// telling is the row of a log, if it was read. What stands there is for a person to weigh.
func telling(asked bool, r row) row {
	switch {
	case !asked:
		return row{}
	case len(r.came) == 0:
		r.came, r.verdict = said("doctor.came.none"), Good
	default:
		r.verdict = Unsure
	}
	return r
}

func coreRow(_ *examination, f survey.Finding) row {
	c := f.Seen.Core
	r := row{name: words.Of("doctor.row.core"), asked: "its API, through Supervisor", verdict: Bad, do: words.Of("doctor.do.core")}
	switch {
	case f.Err != nil:
		r.came, r.verdict, r.do = words.Pieces{f.Err}, Unsure, nothing
	case c.Status == 200 && c.State == "RUNNING":
		r.came, r.verdict, r.do = said("doctor.came.running"), Good, nothing
	default:
		r.came = words.Pieces{strings.TrimSpace(fmt.Sprintf("HTTP %d %s", c.Status, c.State))}
		if c.Runs == evidence.On {
			r.came = append(r.came, words.Of("seen.core.runs"))
		}
	}
	return r
}

func startPageRow(_ *examination, f survey.Finding) row {
	page := f.Seen.Frontend
	r := row{name: words.Of("doctor.row.start-page"), asked: "GET /, and the script that it names", came: words.StartPage(page), took: f.Took, verdict: Good}
	switch {
	case page.Stale():
		r.verdict, r.do = Bad, words.Of("doctor.do.purge")
	case page.Script == "":
		r.verdict = Beside
	case page.Cached():
		r.verdict, r.do = Unsure, words.Of("doctor.do.exempt")
	}
	return r
}

func internetRow(_ *examination, f survey.Finding) row {
	i := f.Seen.Internet
	r := row{name: words.Of("doctor.row.internet"), asked: "Supervisor's own check", came: words.Internet(i), verdict: Unsure}
	//exhaustive:ignore
	switch i {
	case evidence.InternetUp:
		r.verdict = Good
	case evidence.InternetDown:
		r.verdict, r.do = Bad, words.Of("doctor.do.router")
	}
	return r
}
