package upstream

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"tunnelmedic/internal/evidence"
)

// keptReports bounds what is kept of the status page.
const keptReports = 12

// page is what the status page said.
type page struct {
	asked   bool
	reports []evidence.Reported
	gap     evidence.Gap
}

// statusIncident is an incident as Statuspage writes it (GET incidents.json, the 50
// newest; developer.statuspage.io).
type statusIncident struct {
	Name       string     `json:"name"`
	Status     string     `json:"status"`
	Impact     string     `json:"impact"`
	CreatedAt  time.Time  `json:"created_at"`
	StartedAt  *time.Time `json:"started_at"`
	ResolvedAt *time.Time `json:"resolved_at"`
	Shortlink  string     `json:"shortlink"`
	Components []struct {
		Name string `json:"name"`
	} `json:"components"`
	Updates []struct {
		Body     string `json:"body"`
		Affected []struct {
			Name string `json:"name"`
		} `json:"affected_components"`
	} `json:"incident_updates"`
}

func (c *Client) page(ctx context.Context, q Question) page {
	res, err := c.status.R().SetContext(ctx).Get("/incidents.json")
	if err != nil {
		return page{gap: failed(evidence.AskedPage, err)}
	}
	switch {
	case res.StatusCode() == 429:
		return page{gap: evidence.Gap{Kind: evidence.GapTooOften, Of: evidence.AskedPage, Status: 429}}
	case res.StatusCode() != 200:
		return page{gap: evidence.Gap{Kind: evidence.GapStatus, Of: evidence.AskedPage, Status: res.StatusCode()}}
	}
	var body struct {
		Incidents *[]statusIncident `json:"incidents"`
	}
	if json.Unmarshal(res.Body(), &body) != nil || body.Incidents == nil {
		return page{gap: evidence.Gap{Kind: evidence.GapUnexpected, Of: evidence.AskedPage}}
	}
	p := page{asked: true}
	for _, i := range *body.Incidents {
		if r, ok := i.touching(q); ok && len(p.reports) < keptReports {
			p.reports = append(p.reports, r)
		}
	}
	slices.SortStableFunc(p.reports, func(a, b evidence.Reported) int { return b.Started.Compare(a.Started) })
	return p
}

// subjects are what an incident must speak of to touch a tunnel's WebSockets.
var subjects = []struct {
	what string
	in   *regexp.Regexp
}{
	{"Tunnel", regexp.MustCompile(`(?i)\b(cloudflare|argo|cloudflared)? ?tunnels?\b|\bcloudflared\b`)},
	{"WebSockets", regexp.MustCompile(`(?i)\bweb ?sockets?\b`)},
	{"HTTP/2 or QUIC", regexp.MustCompile(`(?i)\bhttp/[23]\b|\bquic\b`)},
	{"DDoS rules", regexp.MustCompile(`(?i)\bddos\b|\bmanaged rule`)},
	{"Network", regexp.MustCompile(`(?i)\bnetwork\b|\bcdn\b|\b5xx\b`)},
	{"DNS", regexp.MustCompile(`(?i)\bdns\b`)},
}

// touching says whether the incident may touch this tunnel, and why. Its title,
// its components and its updates are read.
func (i statusIncident) touching(q Question) (evidence.Reported, bool) {
	text, components := i.said()
	r := evidence.Reported{Name: clip(i.Name, 160), Status: clip(i.Status, 20), Impact: clip(i.Impact, 20), Started: i.CreatedAt, Resolved: at(i.ResolvedAt), Link: clip(i.Shortlink, 120)}
	if i.StartedAt != nil {
		r.Started = *i.StartedAt
	}
	if i.ResolvedAt != nil && r.Resolved.Before(q.From) {
		return r, false
	}
	elsewhere := false
	for _, name := range components {
		m := coloInName.FindStringSubmatch(name)
		if m == nil {
			text += name + "\n"
		}
		elsewhere = elsewhere || m != nil
		if len(r.Components) < 12 {
			r.Components = append(r.Components, clip(name, 80))
		}
	}
	for _, colo := range q.Colos {
		if len(colo) < 3 {
			continue
		}
		code := strings.ToUpper(colo[:3]) // "FRA" of "fra03"
		if strings.Contains(strings.Join(append(components, i.Name), "\n"), "("+code+")") {
			r.Why = "data centre " + code
			return r, true
		}
	}
	// An incident of other data centres alone does not touch this house, whatever it says of the network.
	if elsewhere && !strings.Contains(strings.ToLower(text), "tunnel") {
		return r, false
	}
	for _, s := range subjects {
		if s.in.MatchString(text) {
			r.Why = s.what
			return r, true
		}
	}
	return r, false
}

// said is what the incident's title and updates say, and the components that are named,
// in order.
func (i statusIncident) said() (text string, components []string) {
	text = i.Name + "\n"
	for _, c := range i.Components {
		components = append(components, c.Name)
	}
	for _, u := range i.Updates {
		text += u.Body + "\n"
		for _, c := range u.Affected {
			components = append(components, c.Name)
		}
	}
	slices.Sort(components)
	return text, slices.Compact(components)
}

// coloInName finds the code in the name of a data centre's component: "Frankfurt, Germany - (FRA)".
var coloInName = regexp.MustCompile(`\(([A-Z]{3})\)\s*$`)

func clip(s string, n int) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}
