package report

import (
	"fmt"
	"strings"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
)

// ruledOut writes what the evidence excludes, each with how, and what it does not.
func (d Dossier) ruledOut(b *strings.Builder) {
	out, not := d.exclusions()
	bullets(b, out, "Nothing: no evidence of the moment was kept.")
	if len(not) > 0 {
		b.WriteString("\nNot ruled out:\n\n")
		bullets(b, not, "")
	}
}

func (d Dossier) exclusions() (out, not []string) {
	i := d.Incident
	rule := func(ok bool, yes, no string) {
		switch {
		case ok:
			out = append(out, yes)
		case no != "":
			not = append(not, no)
		}
	}
	var s journal.Snapshot
	for _, x := range i.Account.Snapshots {
		if x.Cause.String() != "healthy" {
			s = x
			break
		}
	}
	good := func(a *journal.Answer) bool { return a != nil && a.Status == 101 && a.Trouble == "" }
	if s.At.IsZero() {
		return nil, nil
	}
	ray := ""
	if s.Public != nil {
		ray = s.Public.Header["Cf-Ray"]
	}
	way := "the failed answer bears a cf-ray."
	if ray == "" && s.Public != nil && s.Public.Status == 0 && s.Page != nil {
		ray, way = s.Page.Header["Cf-Ray"], "the handshake had no answer, but the page at the same moment bears a cf-ray."
	}
	rule(good(s.Direct), "**Home Assistant itself:** at the same moment the same handshake straight to it, past the tunnel, was answered with 101.",
		"Home Assistant itself: no good handshake straight to it is on record for that moment.")
	rule(s.Page != nil && s.Page.Status > 0 && s.Page.Status < 400 && s.Page.Header["Cf-Ray"] != "",
		fmt.Sprintf("**The tunnel as a whole, DNS, the certificate:** at the same moment a plain page came through it (HTTP %d). Only the WebSocket failed.", status(s.Page)),
		"The tunnel as a whole: no plain page is on record as having come through at that moment.")
	rule(ray != "", "**A way past Cloudflare** (split DNS): "+way, "")
	rule(s.Seen["internet"] == "up", "**The house's internet:** Supervisor calls it up.", "")
	rule(s.Ready > 0, fmt.Sprintf("**A connector without connection:** it had %d of 4, over %s.", s.Ready, transport(s.Transport)), "The connector: it had no connection, or could not be asked.")
	rule(s.Public != nil && s.Public.Status != 0 && s.Public.Status != 302 && s.Public.Status != 401 && s.Public.Status != 403 && s.Public.Status != 429,
		"**Cloudflare Access, a firewall rule, bot protection, a rate limit:** none of them answers in this way.", "")
	zone := d.newest()
	switch {
	case len(zone) > 0 && zone[0].WebSockets != nil && zone[0].WebSockets.Value == "on":
		out = append(out, "**The zone's switch Network → WebSockets:** it is on, by Cloudflare's API.")
	case anyGood(i):
		out = append(out, "**The zone's switch Network → WebSockets turned off for good:** there were good probes before or after.")
	default:
		not = append(not, "The zone's switch Network → WebSockets: it was not asked, and no good probe is on record.")
	}
	if len(zone) > 0 && zone[0].MutualTLS != nil && zone[0].HTTP3 != nil {
		both := zone[0].MutualTLS.Value == "on" && zone[0].HTTP3.Value == "on"
		rule(!both, "**Mutual TLS together with HTTP/3 in the browser:** they are not both on for this host (as far as certificates of Cloudflare's own authority go).",
			"The browsers' side: this host asks visitors for a certificate and HTTP/3 is on, a pair that is known to break WebSockets in Chromium. The probe uses HTTP/1.1 and would not see it.")
	} else {
		not = append(not, "The browsers' side (mutual TLS with HTTP/3): the zone's settings are not known.")
	}
	met, same := map[string]bool{}, false
	for _, r := range i.Account.Runs {
		if !r.OK {
			met[r.Colo] = true
		}
	}
	for _, r := range i.Account.Runs {
		same = same || r.OK && r.Colo != "" && met[r.Colo]
	}
	switch {
	case same:
		out = append(out, "**The data centre alone:** the same one answered failed and good probes.")
	case len(met) == 1 && met[""]:
		not = append(not, "The data centre: a probe without an answer does not tell which one it met.")
	default:
		not = append(not, "The data centre: failed and good probes did not meet the same one.")
	}
	failedOver := map[evidence.Transport]bool{}
	for _, t := range i.Account.Tallies {
		if t.Failures >= 2 {
			failedOver[t.Transport] = true
		}
	}
	rule(failedOver[evidence.OverQUIC] && failedOver[evidence.OverHTTP2], "**One transport alone:** it failed over quic and over http2.", "")
	changed := ""
	for _, v := range d.History.Versions {
		if v.Was != "" && v.At.Before(i.Onset) && i.Onset.Sub(v.At) <= nearOnset {
			changed += line(fmt.Sprintf("%s %s → %s", v.Part, v.Was, v.Version)) + "; "
		}
	}
	known := !d.History.First.IsZero() && i.Onset.Sub(d.History.First) >= nearOnset
	switch {
	case changed != "":
		not = append(not, "A change here: within "+long(nearOnset)+" before the onset there was "+strings.TrimSuffix(changed, "; ")+".")
	case known:
		out = append(out, "**An update here:** no version of cloudflared, the add-on, Core or Supervisor changed in the "+long(nearOnset)+" before the onset.")
	default:
		not = append(not, "An update here: the record does not go back "+long(nearOnset)+" before the onset.")
	}
	return out, not
}

func status(a *journal.Answer) int {
	if a == nil {
		return 0
	}
	return a.Status
}

func anyGood(i journal.Incident) bool {
	for _, r := range i.Account.Runs {
		if r.OK {
			return true
		}
	}
	return !i.LastGood.IsZero()
}
