package doctor

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/survey"
)

// rowOf is a row of the table: the looks that it rests on, and how it is made of what
// they saw.
type rowOf struct {
	of  []survey.Name
	row func(*examination, survey.Finding) Row
}

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

func houseName(x *examination, f survey.Finding) Row {
	l := f.Seen.Names.House
	if _, err := netip.ParseAddr(x.place.Public.URL.Hostname()); err == nil {
		return Row{} // an address needs no resolver
	}
	r := Row{Component: "name", Asked: l.Asked, Came: diagnosis.LookupInShort(l), Took: l.Took, Verdict: Bad, Do: "look at this machine's DNS server"}
	switch {
	case l.Trouble == evidence.NameNotFound && !f.Seen.Names.World.Found():
		r.Do = "check the address and its DNS record"
	case l.Found() && private(l.Addrs):
		r.Verdict, r.Do = Beside, ""
		r.Came += " (inside your network: it answers for the name itself)"
	case l.Found():
		r.Verdict, r.Do = Good, ""
	}
	return r
}

func worldName(x *examination, f survey.Finding) Row {
	l := f.Seen.Names.World
	if _, err := netip.ParseAddr(x.place.Public.URL.Hostname()); err == nil || !l.Done() {
		return Row{}
	}
	r := Row{Component: "name, outside", Asked: l.Asked, Came: diagnosis.LookupInShort(l), Took: l.Took, Verdict: Good}
	switch {
	case l.Trouble == evidence.NameNotFound:
		r.Verdict, r.Do = Bad, "check the address and its DNS record"
	case !l.Found():
		r.Verdict = Beside // out of reach: it says nothing of the name
	}
	return r
}

// private says whether all addresses are of a home's network or this machine's.
func private(addrs []string) bool {
	for _, a := range addrs {
		if ip, err := netip.ParseAddr(a); err != nil || !survey.Inside(ip) {
			return false
		}
	}
	return true
}

func publicRow(x *examination, f survey.Finding) Row {
	return x.handshakeRow(family(f.Seen.Network), f.Seen.Public, false)
}

func otherRow(x *examination, f survey.Finding) Row {
	return x.handshakeRow(family(f.Seen.Others), f.Seen.Other, true)
}

// handshakeRow is the probe, or the one over the other family.
func (x *examination) handshakeRow(family string, l evidence.Look, second bool) Row {
	component := "public"
	if family != "" {
		component += ", " + family
	}
	r := Row{Component: component, Asked: x.asked(l) + " as a WebSocket", Came: cameOf(l), Took: l.Took, Verdict: Bad}
	switch {
	case second && l.Stage < evidence.Connected && l.Trouble == evidence.Unreachable:
		r.Verdict, r.Came = Beside, "this machine has no way over "+family
	case !l.Done(), l.Trouble == evidence.Unusable:
		r.Verdict = Unsure
	case l.Healthy() && l.CFRay() == "":
		r.Verdict, r.Came = Unsure, r.Came+", not through Cloudflare"
	case l.Healthy():
		r.Verdict = Good
		if l.SignIn == evidence.TokenRefused || l.SignIn == evidence.TokenWithheld {
			r.Do = "Home Assistant refuses the token: make a new one"
		}
	default:
		r.Do = "see the verdict below"
	}
	return r
}

// asked is what a look at the public name asked, without the name.
func (x *examination) asked(l evidence.Look) string {
	return strings.Replace(l.Asked, (&url.URL{Scheme: x.place.Public.URL.Scheme, Host: x.place.Public.URL.Host}).String(), "", 1)
}

// cameOf is LookInShort with what a person wants to know besides.
func cameOf(l evidence.Look) string {
	s := diagnosis.LookInShort(l)
	if l.Healthy() {
		s = joined("Home Assistant "+l.HAVersion+" greets", map[evidence.SignIn]string{
			evidence.TokenAccepted: "signed in", evidence.TokenRefused: "token refused", evidence.TokenWithheld: "token not sent again",
			evidence.TokenKept: "no token sent, as it is not Cloudflare that answers"}[l.SignIn])
		if ray := l.CFRay(); ray != "" {
			s += ", cf-ray " + ray
		}
	}
	if l.Detail != "" && l.Trouble != evidence.NoTrouble {
		s += ": " + l.Detail
	}
	return s
}

func certificateRow(_ *examination, f survey.Finding) Row {
	l, now := f.Seen.Public, f.Seen.At
	if l.TLS == nil {
		return Row{}
	}
	t := l.TLS
	r := Row{Component: "certificate", Asked: "the TLS handshake of the same",
		Came:    joined(t.Version, "for "+strings.Join(t.Names, " "), "issued by "+t.Issuer, "valid until "+t.NotAfter.UTC().Format(time.DateOnly)),
		Verdict: Good}
	if l.Showed.CertificateWanted {
		r.Came += ", asked for a client certificate"
		if l.Showed.Certificate {
			r.Came += " and got one"
		}
	}
	if t.NotAfter.Sub(now) < expirySoon {
		r.Verdict, r.Do = Unsure, "it ends soon; Cloudflare renews its own certificates automatically"
	}
	return r
}

func pageRow(x *examination, f survey.Finding) Row {
	l := f.Seen.Page
	r := Row{Component: "page", Asked: x.asked(l), Came: cameOf(l), Took: l.Took, Verdict: Bad}
	switch {
	case !l.Done():
		r.Verdict = Unsure
	case l.Stage >= evidence.Answered && l.Status < 400:
		r.Verdict = Good
	}
	return r
}

func directRow(_ *examination, f survey.Finding) Row {
	l := f.Seen.Direct
	if !l.Done() {
		return Row{Component: "Home Assistant", Asked: "the handshake, past the tunnel", Came: "its address on the internal network is not known", Verdict: Unsure}
	}
	r := Row{Component: "Home Assistant", Asked: l.Asked + " as a WebSocket, past the tunnel", Came: cameOf(l), Took: l.Took, Verdict: Bad, Do: "open Home Assistant by its local address"}
	switch {
	case l.Healthy():
		r.Verdict, r.Do = Good, ""
	case l.Trouble == evidence.Unusable || l.Trouble == evidence.NameNotFound:
		r.Verdict, r.Do = Unsure, ""
	}
	return r
}

func serviceRow(_ *examination, f survey.Finding) Row {
	l, route := f.Seen.Service, f.Seen.Connector.Route
	if !l.Done() {
		return Row{} // it is Home Assistant itself
	}
	r := Row{Component: "service", Asked: l.Asked + " as a WebSocket: where the tunnel leads", Came: cameOf(l), Took: l.Took, Verdict: Bad, Do: "switch WebSocket support on in the proxy at " + route.Service}
	if l.Healthy() {
		r.Verdict, r.Do = Good, ""
	}
	return r
}

func addOnRow(x *examination, f survey.Finding) Row {
	err := f.Err
	if x.target.Slug == "" {
		err = x.found
	}
	r := Row{Component: "add-on", Asked: "Supervisor about " + x.target.Slug, Verdict: Bad}
	switch a := f.Seen.AddOn; {
	case err != nil && !a.Asked:
		r.Came, r.Verdict = err.Error(), Unsure
	case !a.Installed:
		r.Asked, r.Came, r.Do = "Supervisor about the Cloudflared app", "it is not installed", "install it, or name it as \"Cloudflared app\" in Tunnel Medic's configuration"
	default:
		r.Came = fmt.Sprintf("%s %s, %s", a.Name, a.Version, a.State)
		if a.ProtocolKnown {
			r.Came += ", protocol " + a.Protocol.String()
		}
		if a.State == evidence.StateStarted {
			r.Verdict = Good
		} else {
			r.Do = "start it; its Log tab says why it ended"
		}
	}
	return r
}

// startRow says whether the app could start, where that hangs on Cloudflare's API.
func startRow(_ *examination, f survey.Finding) Row {
	if f.Seen.AddOn.HasToken {
		return Row{}
	}
	r := Row{Component: "app's start", Asked: "Cloudflare's API, which the app needs to start", Came: "it answers", Took: f.Took, Verdict: Good}
	if f.Seen.AddOn.Startable == evidence.Off {
		r.Came, r.Verdict, r.Do = "it does not answer", Unsure, "do not restart the app before it does"
	}
	return r
}

func connectorRow(_ *examination, f survey.Finding) Row {
	c := f.Seen.Connector
	r := Row{Component: "connector", Asked: "cloudflared: /ready /diag/tunnel /config", Came: diagnosis.ConnectorInShort(c), Verdict: Bad, Do: "look at the Log tab of the Cloudflared app"}
	if n := c.Counters; n != nil && n.Version != "" {
		r.Came = "version " + n.Version + ", " + r.Came
	}
	switch {
	case c.Up() && c.Route.Asked && !c.Route.Found:
		r.Do = "add this host name to the tunnel's configuration"
	case c.Up():
		r.Verdict, r.Do = Good, ""
	case c.Status == 0 && c.Trouble != evidence.Refused:
		r.Verdict, r.Do = Unsure, ""
	}
	return r
}

func quicRow(_ *examination, f survey.Finding) Row {
	l, in := f.Seen.QUIC, f.Seen.Connector.Transport
	if !l.Done() {
		return Row{} // there was no edge to ask
	}
	r := Row{Component: "QUIC", Asked: "Cloudflare's edge, over UDP to port 7844", Came: diagnosis.QUICInShort(l), Took: l.Took, Verdict: Unsure}
	switch passes := l.QUICPasses(); {
	case passes == evidence.On:
		r.Verdict = Good
	case passes == evidence.Off && in == evidence.OverQUIC: // the tunnel itself shows that it passes
		r.Came, r.Verdict = "no handshake, though the tunnel uses it", Beside
	case passes == evidence.Off && l.Stage >= evidence.Connected:
		r.Do = "if the tunnel is to be able to use QUIC, exempt UDP to port 7844 from the firewall's inspection"
	case passes == evidence.Off:
		r.Do = "if the tunnel is to be able to use QUIC, let the router pass UDP to port 7844"
	}
	return r
}

func carriedRow(x *examination, f survey.Finding) Row {
	if x.place.House == nil || x.conn == nil {
		return Row{}
	}
	rise, known := f.Seen.Connector.Carried()
	r := Row{Component: "carried", Asked: "cloudflared's counters before and after the probe", Came: "they could not be read", Verdict: Unsure}
	if !known {
		return r
	}
	r.Came, r.Verdict = fmt.Sprintf("%d requests during the probe", rise.Requests), Good
	if n := rise.Codes[400]; n > 0 {
		r.Came += fmt.Sprintf(", %d answered with 400", n)
	}
	if rise.Errors > 0 {
		r.Came += fmt.Sprintf(", %d not passed on", rise.Errors)
	}
	if rise.Requests == 0 {
		r.Verdict = Beside
		if l := f.Seen.Public; l.Healthy() && l.CFRay() != "" {
			r.Verdict, r.Do = Unsure, "another cloudflared carried the probe: see the tunnel's connectors in Zero Trust"
		}
	}
	return r
}

func logRow(_ *examination, f survey.Finding) Row {
	l := f.Seen.Log
	if !l.Asked {
		return Row{}
	}
	r := Row{Component: "its log", Asked: "telling lines of the connector's present run", Came: diagnosis.LogInShort(l), Verdict: Unsure}
	if r.Came == "" {
		r.Came, r.Verdict = "none", Good
	}
	return r
}

func coreRow(_ *examination, f survey.Finding) Row {
	c := f.Seen.Core
	r := Row{Component: "Core", Asked: "its API, through Supervisor", Verdict: Bad, Do: "wait if it was just started; else see its log"}
	switch {
	case f.Err != nil:
		r.Came, r.Verdict, r.Do = f.Err.Error(), Unsure, ""
	case c.Status == 200 && c.State == "RUNNING":
		r.Came, r.Verdict, r.Do = "running", Good, ""
	default:
		r.Came = strings.TrimSpace(fmt.Sprintf("HTTP %d %s", c.Status, c.State))
		if c.Runs == evidence.On {
			r.Came += ", its container runs"
		}
	}
	return r
}

func startPageRow(_ *examination, f survey.Finding) Row {
	page := f.Seen.Frontend
	r := Row{Component: "start page", Asked: "GET /, and the script that it names", Came: diagnosis.FrontendInShort(page), Took: f.Took, Verdict: Good}
	switch {
	case page.Stale():
		r.Verdict, r.Do = Bad, "purge Cloudflare's cache, and exempt this host name from it"
	case page.Script == "":
		r.Verdict = Beside
	case page.Cached():
		r.Verdict, r.Do = Unsure, "exempt this host name from Cloudflare's cache: after an update the page would be stale"
	}
	return r
}

func coreLogRow(_ *examination, f survey.Finding) Row {
	l := f.Seen.CoreLog
	if !l.Asked {
		return Row{}
	}
	r := Row{Component: "Core's log", Asked: "refused requests, of the last half hour", Came: diagnosis.CoreLogInShort(l), Took: f.Took, Verdict: Unsure}
	if r.Came == "" {
		r.Came, r.Verdict = "none", Good
	}
	return r
}

func internetRow(_ *examination, f survey.Finding) Row {
	i := f.Seen.Internet
	r := Row{Component: "internet", Asked: "Supervisor's own check", Came: i.String(), Verdict: Unsure}
	//exhaustive:ignore
	switch i {
	case evidence.InternetUp:
		r.Verdict = Good
	case evidence.InternetDown:
		r.Verdict, r.Do = Bad, "check the router"
	}
	return r
}
