package diagnosis

import (
	"fmt"
	"strconv"
	"strings"

	"tunnelmedic/internal/evidence"
)

// The functions of this file note what the evidence knows of a row's cause, so that its
// sentences can name it, and choose the remedy where one cause has several.

// healthyBut notes what is not as it should be though the way is open.
func healthyBut(e evidence.Evidence, d *Diagnosis) {
	switch {
	case e.Public.SignIn.Refused():
		d.Variant = "token-refused"
	case d.Elsewhere:
		d.Variant = "elsewhere"
	}
}

// closedAs notes what says that sign-ins break off: what was counted, Home Assistant's log
// or both, and whether the zone has what is suspected.
func closedAs(_ evidence.Evidence, d *Diagnosis) {
	switch c := d.Closing; {
	case c.Brief > 0 && c.Logged > 0:
		d.Variant = "both"
	case c.Logged > 0:
		d.Variant = "logged"
	default:
		d.Variant = "counted"
	}
	d.Basis = map[evidence.Switch]string{evidence.On: "suspect", evidence.Off: "cleared"}[d.Closing.Suspect]
}

// startRefusedBy notes why the app ended at its start. What can have passed is tried
// again; what a person must put right is not.
func startRefusedBy(e evidence.Evidence, d *Diagnosis) {
	why := e.Log.StartFailed
	if (why == evidence.StartAPIAway || why == evidence.StartNoEdge) && e.AddOn.State == evidence.StateError {
		d.Remedy = Start
	}
	d.Variant = map[evidence.StartFailure]string{evidence.StartAPIAway: "api-away", evidence.StartNoEdge: "no-edge",
		evidence.StartAuthentication: "login", evidence.StartDNSEntry: "dns-entry", evidence.StartTunnelName: "tunnel-name"}[why]
	if why == evidence.StartAPIAway && d.Remedy != Start {
		d.Variant = "api-away-stopped"
	}
}

// originMovedTo notes both addresses. Where the app's start writes the service from
// Core's settings, one restart mends it.
func originMovedTo(e evidence.Evidence, d *Diagnosis) {
	d.addresses(e)
	switch {
	case rewritten(e):
		d.Remedy, d.Variant = Restart, "restart"
	case e.AddOn.HasToken:
		d.Variant = "token"
	default:
		d.Variant = "known"
	}
}

// originRefusedAt notes where nothing answered, and where Home Assistant did.
func originRefusedAt(e evidence.Evidence, d *Diagnosis) {
	d.addresses(e)
	if d.Service == "" && absent(e.Direct) {
		d.Service = address(e.Direct).String()
	}
	if !e.Direct.Healthy() {
		d.Here = ""
	}
	switch {
	case d.Here != "" && d.Service != "":
		d.Variant = "known"
	case d.Service != "":
		d.Variant = "silent"
	}
}

// proxyRefusesAt notes what answered, and the address that would leave it out.
func proxyRefusesAt(e evidence.Evidence, d *Diagnosis) {
	if !e.Connector.Route.Found {
		return
	}
	d.addresses(e)
	d.Status, d.Variant = e.Public.Status, "unreached"
	if e.Direct.Healthy() && d.Here != "" {
		d.Variant = "known"
	}
}

// servedAt notes where the tunnel leads and where Home Assistant is, if both are known.
func servedAt(e evidence.Evidence, d *Diagnosis) {
	d.addresses(e)
	if e.Connector.Route.Found && d.Here != "" {
		d.Variant = "known"
	}
}

// addresses notes where the tunnel leads, where Home Assistant listens, and where that
// is set.
func (d *Diagnosis) addresses(e evidence.Evidence) {
	d.Service, d.Here, d.Screen = e.Connector.Route.Service, coreAddress(e), screen(e.Core)
}

// coreAddress is where Home Assistant listens on the internal network, "" if that is
// not known.
func coreAddress(e evidence.Evidence) string {
	if e.Core.Port == 0 {
		return strings.TrimSuffix(address(e.Direct).String(), "/api/websocket")
	}
	scheme := map[bool]string{false: "http", true: "https"}[e.Core.SSL]
	return scheme + "://homeassistant:" + strconv.Itoa(e.Core.Port)
}

// screen says whether this Core has its HTTP settings on a screen, as since 2026.8, or in
// configuration.yaml.
func screen(c evidence.Core) evidence.Switch {
	var year, month int
	switch n, _ := fmt.Sscanf(c.Version, "%d.%d", &year, &month); {
	case n < 2:
		return evidence.NotKnown
	case year > 2026 || year == 2026 && month >= 8:
		return evidence.On
	}
	return evidence.Off
}
