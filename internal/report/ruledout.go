package report

import (
	"fmt"
	"slices"
	"strings"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
)

// exclusions are what the evidence rules out, each with how, and what it does not.
type exclusions struct{ out, not []string }

// rule notes what is excluded if it is, and what is not if that is worth saying.
func (x *exclusions) rule(excluded bool, how, not string) {
	switch {
	case excluded:
		x.out = append(x.out, how)
	case not != "":
		x.not = append(x.not, not)
	}
}

// ruledOut writes what the evidence excludes.
func (d Dossier) ruledOut(b *strings.Builder) {
	var x exclusions
	shots := d.Incident.Account.Snapshots
	if n := slices.IndexFunc(shots, func(s journal.Snapshot) bool { return s.Cause != diagnosis.Healthy }); n >= 0 {
		x.atThatMoment(shots[n])
		x.atCloudflare(d.newest(), anyGood(d.Incident))
		x.overTime(d.Incident)
		x.updates(d)
	}
	if len(x.out)+len(x.not) == 0 {
		b.WriteString("Nothing: no evidence of the moment was kept.\n")
	}
	bullets(b, x.out)
	if len(x.not) > 0 {
		b.WriteString("\nNot ruled out:\n\n")
		bullets(b, x.not)
	}
}

// atThatMoment weighs what was seen at one moment.
func (x *exclusions) atThatMoment(s journal.Snapshot) {
	public, page, direct := deref(s.Public), deref(s.Page), deref(s.Direct)
	x.rule(direct.Status == 101 && direct.Trouble == "", "**Home Assistant itself:** at the same moment the same handshake straight to it, past the tunnel, was answered with 101.",
		"Home Assistant itself: no good handshake straight to it is on record for that moment.")
	x.rule(page.Status > 0 && page.Status < 400 && page.Header["Cf-Ray"] != "",
		fmt.Sprintf("**The tunnel as a whole, DNS, the certificate:** at the same moment a plain page came through it (HTTP %d). Only the WebSocket failed.", page.Status),
		"The tunnel as a whole: no plain page is on record as having come through at that moment.")
	x.rule(public.Header["Cf-Ray"] != "", "**A way past Cloudflare** (split DNS): the failed answer bears a cf-ray.", "")
	x.rule(public.Status == 0 && public.Header["Cf-Ray"] == "" && page.Header["Cf-Ray"] != "",
		"**A way past Cloudflare** (split DNS): the handshake had no answer, but the page at the same moment bears a cf-ray.", "")
	x.rule(s.Internet == evidence.InternetUp, "**The house's internet:** Supervisor calls it up.", "")
	x.rule(s.Ready > 0, fmt.Sprintf("**A connector without connection:** it had %d of 4, over %s.", s.Ready, transport(s.Transport)),
		"The connector: it had no connection, or could not be asked.")
	x.rule(!slices.Contains([]int{0, 302, 401, 403, 429}, public.Status), "**Cloudflare Access, a firewall rule, bot protection, a rate limit:** none of them answers in this way.", "")
}

// atCloudflare weighs the zone's settings, as far as they are known.
func (x *exclusions) atCloudflare(u evidence.Upstream, good bool) {
	if u.WebSockets != nil && u.WebSockets.Value == "on" {
		x.rule(true, "**The zone's switch Network → WebSockets:** it is on, by Cloudflare's API.", "")
	} else {
		x.rule(good, "**The zone's switch Network → WebSockets turned off for good:** there were good checks before or after.",
			"The zone's switch Network → WebSockets: it was not asked, and no good check is on record.")
	}
	if u.MutualTLS == nil || u.HTTP3 == nil {
		x.rule(false, "", "The browsers' side (mutual TLS with HTTP/3): the zone's settings are not known.")
		return
	}
	x.rule(u.MutualTLS.Value != "on" || u.HTTP3.Value != "on",
		"**Mutual TLS together with HTTP/3 in the browser:** they are not both on for this host (as far as certificates of Cloudflare's own authority go).",
		"The browsers' side: this host asks visitors for a certificate and HTTP/3 is on, a pair that is known to break WebSockets in Chromium. The check uses HTTP/1.1 and would not see it.")
}

// overTime weighs what the checks met in the course of the incident.
func (x *exclusions) overTime(i journal.Incident) {
	bad, same := map[string]bool{}, false
	for _, r := range i.Account.Runs {
		bad[r.Colo] = bad[r.Colo] || !r.OK
	}
	for _, r := range i.Account.Runs {
		same = same || r.OK && r.Colo != "" && bad[r.Colo]
	}
	x.rule(same, "**The data centre alone:** the same one answered failed and good checks.",
		"The data centre: failed and good checks are not known to have met the same one.")

	over := map[evidence.Transport]bool{}
	for _, t := range i.Account.Tallies {
		over[t.Transport] = over[t.Transport] || t.Failures >= 2
	}
	x.rule(over[evidence.OverQUIC] && over[evidence.OverHTTP2], "**One transport alone:** it failed over quic and over http2.", "")
}

// updates weighs what was updated in the house before the onset.
func (x *exclusions) updates(d Dossier) {
	var changed []string
	for _, v := range d.History.Versions {
		if gap := d.Incident.Onset.Sub(v.At); v.Was != "" && gap > 0 && gap <= nearOnset {
			changed = append(changed, line(fmt.Sprintf("%s %s → %s", v.Part, v.Was, v.Version)))
		}
	}
	if len(changed) > 0 {
		x.rule(false, "", "A change here: in the two days before the onset there was "+strings.Join(changed, "; ")+".")
		return
	}
	x.rule(!d.History.First.IsZero() && d.Incident.Onset.Sub(d.History.First) >= nearOnset,
		"**An update here:** no version of cloudflared, the app, Core or Supervisor changed in the two days before the onset.",
		"An update here: the record does not go back two days before the onset.")
}

func deref(a *journal.Answer) journal.Answer {
	if a == nil {
		return journal.Answer{}
	}
	return *a
}

func anyGood(i journal.Incident) bool {
	return !i.LastGood.IsZero() || slices.ContainsFunc(i.Account.Runs, func(r journal.Run) bool { return r.OK })
}
