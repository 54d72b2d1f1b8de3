package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/probe"
	"tunnelmedic/internal/survey"
	"tunnelmedic/internal/tunnel"
)

func (x *examination) houseName() Row {
	l := x.e.Names.House
	if _, err := netip.ParseAddr(x.place.Public.URL.Hostname()); err == nil {
		return Row{} // an address needs no resolver
	}
	r := Row{Component: "name", Asked: l.Asked, Came: diagnosis.LookupInShort(l), Took: l.Took, Verdict: Bad, Do: "look at this machine's DNS server"}
	switch {
	case l.Trouble == evidence.NameNotFound && !x.e.Names.World.Found():
		r.Do = "check the address and its DNS record"
	case l.Found() && private(l.Addrs):
		r.Verdict, r.Do = Beside, ""
		r.Came += " (inside your network: it answers for the name itself)"
	case l.Found():
		r.Verdict, r.Do = Good, ""
	}
	return r
}

func (x *examination) worldName() Row {
	l := x.e.Names.World
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

func certificateRow(l evidence.Look, now time.Time) Row {
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
		r.Verdict, r.Do = Unsure, "it ends soon; Cloudflare renews its own by itself"
	}
	return r
}

func (x *examination) pageRow(l evidence.Look) Row {
	r := Row{Component: "page", Asked: x.asked(l), Came: cameOf(l), Took: l.Took, Verdict: Bad}
	switch {
	case !l.Done():
		r.Verdict = Unsure
	case l.Stage >= evidence.Answered && l.Status < 400:
		r.Verdict = Good
	}
	return r
}

func (x *examination) directRow(l evidence.Look) Row {
	r := Row{Component: "Home Assistant", Asked: l.Asked + " as a WebSocket, past the tunnel", Came: cameOf(l), Took: l.Took, Verdict: Bad, Do: "open Home Assistant by its local address"}
	switch {
	case l.Healthy():
		r.Verdict, r.Do = Good, ""
	case !l.Done() || l.Trouble == evidence.Unusable || l.Trouble == evidence.NameNotFound:
		r.Verdict, r.Do = Unsure, ""
	}
	return r
}

func serviceRow(route evidence.Route, l evidence.Look) Row {
	r := Row{Component: "service", Asked: l.Asked + " as a WebSocket: where the tunnel leads", Came: cameOf(l), Took: l.Took, Verdict: Bad, Do: "switch WebSocket support on in the proxy at " + route.Service}
	if l.Healthy() {
		r.Verdict, r.Do = Good, ""
	}
	return r
}

func (x *examination) addOnRow(err error) Row {
	r := Row{Component: "add-on", Asked: "Supervisor about " + x.target.Slug, Verdict: Bad}
	switch a := x.e.AddOn; {
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

func (x *examination) connectorRow() Row {
	c := x.e.Connector
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

// quic asks the edge whether the tunnel could connect over QUIC.
func (x *examination) quic(ctx context.Context, c evidence.Connector) {
	edges := tunnel.QUICEdges(c, x.place.House.Edge, x.place.House.ConnectorURL)
	if len(edges) == 0 {
		return
	}
	ask := x.place.House.QUIC
	if ask == nil {
		ask = probe.Edge{Roots: x.place.Public.RootCAs}.QUIC
	}
	l := ask(ctx, edges...)
	x.e.QUIC = l
	x.put(rowQUIC, quicRow(l, c.Transport))
}

func quicRow(l evidence.Look, in evidence.Transport) Row {
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

func (x *examination) carriedRow() Row {
	rise, known := x.e.Connector.Carried()
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
		if l := x.e.Public; l.Healthy() && l.CFRay() != "" {
			r.Verdict, r.Do = Unsure, "another cloudflared carried the probe: see the tunnel's connectors in Zero Trust"
		}
	}
	return r
}

func logRow(l evidence.Log) Row {
	if !l.Asked {
		return Row{}
	}
	r := Row{Component: "its log", Asked: "telling lines of the connector's present run", Came: diagnosis.LogInShort(l), Verdict: Unsure}
	if r.Came == "" {
		r.Came, r.Verdict = "none", Good
	}
	return r
}

func coreRow(c evidence.Core, err error) Row {
	r := Row{Component: "Core", Asked: "its API, through Supervisor", Verdict: Bad, Do: "wait if it was just started; else see its log"}
	switch {
	case err != nil:
		r.Came, r.Verdict, r.Do = err.Error(), Unsure, ""
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

func frontendRow(f evidence.Frontend, took time.Duration) Row {
	r := Row{Component: "start page", Asked: "GET /, and the script that it names", Came: diagnosis.FrontendInShort(f), Took: took, Verdict: Good}
	switch {
	case f.Stale():
		r.Verdict, r.Do = Bad, "purge Cloudflare's cache, and exempt this host name from it"
	case f.Script == "":
		r.Verdict = Beside
	case f.Cached():
		r.Verdict, r.Do = Unsure, "exempt this host name from Cloudflare's cache: after an update the page would be stale"
	}
	return r
}

func coreLogRow(l evidence.CoreLog, took time.Duration) Row {
	r := Row{Component: "Core's log", Asked: "refused requests, of the last half hour", Came: diagnosis.CoreLogInShort(l), Took: took, Verdict: Unsure}
	if r.Came == "" {
		r.Came, r.Verdict = "none", Good
	}
	return r
}

func internetRow(i evidence.Internet) Row {
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
