package diagnosis

import (
	"fmt"
	"strconv"
	"strings"

	"tunnelmedic/internal/evidence"
)

// The functions of this file fit a row's words to the evidence: they name the values
// that are known, and choose the remedy where one cause has several.

// healthyBut says what is not as it should be though the way is open.
func healthyBut(e evidence.Evidence, d *Diagnosis) {
	switch refused := e.Public.SignIn; {
	case refused == evidence.TokenRefused || refused == evidence.TokenWithheld:
		d.Advice = []string{"Home Assistant refuses the token in \"Home Assistant token\" of Tunnel Medic's configuration; it is not sent again. Make a new long-lived token, or empty the field."}
	case d.Elsewhere:
		d.Advice = []string{"Another cloudflared than the one in this house carried this check. In Cloudflare Zero Trust under Networks → Tunnels, the tunnel's connectors are listed."}
	}
}

// forwardedAs names the header that Home Assistant's log names.
func forwardedAs(e evidence.Evidence, d *Diagnosis) {
	d.Summary += " Its log says: " + e.CoreLog.Forwarded.String() + "."
}

// startedOnce: an app that ended with an error may be started; one that a person
// stopped stays stopped.
func startedOnce(e evidence.Evidence, d *Diagnosis) {
	if e.AddOn.State == evidence.StateError {
		d.Remedy = Start
	}
}

// startRefusedBy tells why the app ended at its start. What can have passed is tried
// again; what a person must put right is not.
func startRefusedBy(e evidence.Evidence, d *Diagnosis) {
	why := e.Log.StartFailed
	if mayPass(why) && e.AddOn.State == evidence.StateError {
		d.Remedy = Start
	}
	const start = "Then start the app: Settings → Apps → Cloudflared."
	//exhaustive:ignore
	switch why {
	case evidence.StartAPIAway:
		d.Summary = "The Cloudflared app could not start, because Cloudflare's API did not answer."
		d.Advice = []string{"It is started again when Cloudflare's API answers. www.cloudflarestatus.com says whether there is an incident."}
		if d.Remedy != Start {
			d.Advice = []string{"www.cloudflarestatus.com says whether there is an incident. " + start}
		}
	case evidence.StartNoEdge:
		d.Summary = "The Cloudflared app could not start: it found no address of Cloudflare that it may use."
		d.Advice = []string{
			"If the run parameters of the Cloudflared app hold --edge-ip-version, --region or --edge-bind-address, remove it (Settings → Apps → Cloudflared → Configuration).",
			"If an ad blocker or a DNS server of your own stands in between, exempt argotunnel.com.",
		}
	case evidence.StartAuthentication:
		d.Summary = "The Cloudflared app could not start: Cloudflare does not accept its login any more (code 10000)."
		d.Advice = []string{
			"Log in again: uninstall the Cloudflared app and install it again, enter its settings as before, start it, and open the link in its Log tab.",
			"Or create a tunnel in Cloudflare Zero Trust and enter its token: with a tunnel token, a start needs no login.",
		}
	case evidence.StartDNSEntry:
		d.Summary = "The Cloudflared app could not start: Cloudflare refused to write its DNS record."
		d.Advice = []string{
			"In the Cloudflare dashboard under DNS, look whether the host names in the app's configuration belong to a domain of this account, and whether another record stands in the way.",
			start,
		}
	case evidence.StartTunnelName:
		d.Summary = "The Cloudflared app could not start: its tunnel has another name than the one in its configuration."
		d.Advice = []string{"In Settings → Apps → Cloudflared → Configuration, let the tunnel name be the one that the Log tab names as the existing tunnel's.", start}
	}
}

// originMovedTo names both addresses. Where the app's start writes the service from
// Core's settings, one restart mends it.
func originMovedTo(e evidence.Evidence, d *Diagnosis) {
	service, here := e.Connector.Route.Service, coreAddress(e)
	d.Summary = fmt.Sprintf("The tunnel asks for Home Assistant at %s, but it listens at %s.", service, here)
	switch {
	case rewritten(e):
		d.Remedy = Restart
		d.Advice = []string{
			"One restart of the Cloudflared app lets it read the new address; as long as the mode is heal, you don't need to do anything.",
			fmt.Sprintf("If that does not help, the app could not read the new address: set Home Assistant back to %s, or use a tunnel token with the service %s.", service, here),
			settingsOf(e),
		}
	case e.AddOn.HasToken:
		d.Advice = []string{
			fmt.Sprintf("In Cloudflare Zero Trust under Networks → Tunnels, change the service of this public hostname from %s to %s.", service, here),
			fmt.Sprintf("Or set Home Assistant back to %s. %s", service, settingsOf(e)),
		}
	default:
		d.Advice = []string{
			fmt.Sprintf("Where the tunnel's service is set (Settings → Apps → Cloudflared → Configuration, or Cloudflare Zero Trust), change %s to %s.", service, here),
			settingsOf(e),
		}
	}
}

// originRefusedAt names where nothing answered, and where Home Assistant did.
func originRefusedAt(e evidence.Evidence, d *Diagnosis) {
	at, here := e.Connector.Route.Service, ""
	if at == "" && absent(e.Direct) {
		_, at, _ = strings.Cut(e.Direct.Asked, " ")
	}
	if e.Direct.Healthy() {
		here = coreAddress(e)
	}
	if at != "" {
		d.Summary = fmt.Sprintf("Home Assistant runs, but nothing answers at %s, where the tunnel leads.", at)
	}
	switch {
	case here != "" && at != "":
		d.Advice = []string{fmt.Sprintf("Home Assistant answered at %s. Let the tunnel's service be that, or see whether what stands at %s runs.", here, at), settingsOf(e)}
	case at != "":
		d.Advice = []string{fmt.Sprintf("Neither did Home Assistant answer at its own address, tried from here. See whether it listens at %s.", at), settingsOf(e)}
	}
}

func proxyRefusesAt(e evidence.Evidence, d *Diagnosis) {
	r := e.Connector.Route
	if !r.Found {
		return
	}
	d.Summary = fmt.Sprintf("Another web server than Home Assistant answers behind the tunnel with HTTP %d, and refuses.", e.Public.Status)
	d.Advice = []string{fmt.Sprintf("The tunnel leads to %s. Look there for the host name of Home Assistant, and at the log of what runs there.", r.Service)}
	if here := coreAddress(e); e.Direct.Healthy() && here != "" {
		d.Advice = append(d.Advice, fmt.Sprintf("Or let the tunnel's service be Home Assistant itself: %s.", here))
	}
}

// trustedWhere says where trusted proxies are set in this Core; both where its version
// is not known.
func trustedWhere(e evidence.Evidence, d *Diagnosis) {
	//exhaustive:ignore
	switch since(e.Core.Version, 2026, 8) {
	case evidence.On:
		d.Advice = d.Advice[:1]
	case evidence.Off:
		d.Advice = []string{"Add to configuration.yaml:  http:  use_x_forwarded_for: true  and under trusted_proxies the network 172.30.33.0/24. Then restart Home Assistant."}
	}
}

// pastTheProxy names the proxy, and the service that would leave it out.
func pastTheProxy(e evidence.Evidence, d *Diagnosis) {
	r, here := e.Connector.Route, coreAddress(e)
	if !r.Found || here == "" {
		return
	}
	d.Advice = []string{d.Advice[0], fmt.Sprintf("Or let the tunnel's service be Home Assistant itself: %s instead of %s.", here, r.Service)}
}

// askedAt names the service, and where Home Assistant did answer.
func askedAt(e evidence.Evidence, d *Diagnosis) {
	r, here := e.Connector.Route, coreAddress(e)
	if !r.Found || here == "" {
		return
	}
	d.Advice = []string{
		fmt.Sprintf("The tunnel asks at %s, and Home Assistant answered at %s. Change the tunnel's service to that.", r.Service, here),
		"It begins with https:// exactly when Home Assistant has its own certificate. " + settingsOf(e),
	}
}

// flapsOver names the transport that breaks.
func flapsOver(e evidence.Evidence, d *Diagnosis) {
	//exhaustive:ignore
	switch e.Log.LostOver {
	case evidence.OverQUIC:
		d.Summary = "The tunnel's QUIC connections break again and again."
	case evidence.OverHTTP2:
		d.Summary = "The tunnel's HTTP/2 connections break again and again."
	}
}

// disabledPerhaps words as inferred what Cloudflare's API did not say.
func disabledPerhaps(e evidence.Evidence, d *Diagnosis) {
	if e.Zone.WebSockets == evidence.Off {
		d.Summary, d.Rests = "WebSockets are switched off for your domain at Cloudflare.", "Cloudflare's own word on the setting"
	}
}

// coreAddress is where Home Assistant listens on the internal network, "" if that is
// not known.
func coreAddress(e evidence.Evidence) string {
	if e.Core.Port == 0 {
		_, at, _ := strings.Cut(e.Direct.Asked, " ")
		return strings.TrimSuffix(at, "/api/websocket")
	}
	scheme := map[bool]string{false: "http", true: "https"}[e.Core.SSL]
	return scheme + "://homeassistant:" + strconv.Itoa(e.Core.Port)
}

// settingsOf says where Home Assistant's port, SSL and trusted proxies are set: since
// Core 2026.8 on a screen, before that in configuration.yaml.
func settingsOf(e evidence.Evidence) string {
	const screen, file = "Settings → System → Network → HTTP server", "http: in configuration.yaml"
	//exhaustive:ignore
	switch since(e.Core.Version, 2026, 8) {
	case evidence.On:
		return "Home Assistant's port and SSL are set under " + screen + "."
	case evidence.Off:
		return "Home Assistant's port and SSL are set under " + file + "."
	}
	return "Home Assistant's port and SSL are set under " + screen + "; before Home Assistant 2026.8, under " + file + "."
}

// since says whether a version of Core is this one or newer; not known without one.
func since(version string, year, month int) evidence.Switch {
	y, rest, ok := strings.Cut(version, ".")
	m, _, _ := strings.Cut(rest, ".")
	haveYear, err1 := strconv.Atoi(y)
	haveMonth, err2 := strconv.Atoi(m)
	switch {
	case !ok || err1 != nil || err2 != nil:
		return evidence.NotKnown
	case haveYear > year || haveYear == year && haveMonth >= month:
		return evidence.On
	}
	return evidence.Off
}
