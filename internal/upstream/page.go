package upstream

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"time"

	"tunnelmedic/internal/evidence"
)

// keptReports bounds what is kept of the status page.
const keptReports = 12

// statusIncident is an incident as Statuspage writes it (GET incidents.json, the 50
// newest; developer.statuspage.io).
type statusIncident struct {
	Name       string
	Status     string
	Impact     string
	CreatedAt  time.Time `json:"created_at"`
	StartedAt  time.Time `json:"started_at"`
	ResolvedAt time.Time `json:"resolved_at"`
	Shortlink  string
	Components []component
	Updates    []struct {
		Body     string
		Affected []component `json:"affected_components"`
	} `json:"incident_updates"`
}

type component struct{ Name string }

// page reads what the status page reports, and says what is missing of it.
func (c *Client) page(ctx context.Context, q Question) (list []evidence.Reported, missing evidence.Gap) {
	res, err := c.status.R().SetContext(ctx).Get("/incidents.json")
	if err != nil {
		return nil, failed(evidence.AskedPage, err)
	}
	switch status := res.StatusCode(); status {
	case http.StatusOK:
	case http.StatusTooManyRequests:
		return nil, evidence.Gap{Kind: evidence.GapTooOften, Of: evidence.AskedPage, Status: status}
	default:
		return nil, evidence.Gap{Kind: evidence.GapStatus, Of: evidence.AskedPage, Status: status}
	}
	var body struct{ Incidents *[]statusIncident }
	if json.Unmarshal(res.Body(), &body) != nil || body.Incidents == nil {
		return nil, failed(evidence.AskedPage, errFormat)
	}
	for _, i := range *body.Incidents {
		why := i.touches(q)
		if why == "" || len(list) == keptReports {
			continue
		}
		started := i.StartedAt
		if started.IsZero() {
			started = i.CreatedAt
		}
		list = append(list, evidence.Reported{Name: clip(i.Name, 160), Status: clip(i.Status, 20), Impact: clip(i.Impact, 20), Started: started, Resolved: i.ResolvedAt, Link: clip(i.Shortlink, 120), Why: why})
	}
	return list, evidence.Gap{}
}

// subjects are what an incident must speak of to touch a tunnel's WebSockets.
var subjects = regexp.MustCompile(`(?i)\b(tunnels?|cloudflared|web ?sockets?|http/[23]|quic|ddos|managed rules?|network|cdn|5xx|dns)\b`)

// touches says why the incident may touch this tunnel, by its title, its components and its
// updates; "" if it does not.
func (i statusIncident) touches(q Question) string {
	if !i.ResolvedAt.IsZero() && i.ResolvedAt.Before(q.From) {
		return ""
	}
	text, places, components := i.Name, "", i.Components
	for _, u := range i.Updates {
		text += "\n" + u.Body
		components = append(components, u.Affected...)
	}
	for _, c := range components {
		if coloInName.MatchString(c.Name) {
			places += "\n" + c.Name
		} else {
			text += "\n" + c.Name
		}
	}
	for _, colo := range q.Colos {
		if code := strings.ToUpper(colo[:min(3, len(colo))]); len(code) == 3 && strings.Contains(i.Name+places, "("+code+")") { // "FRA" of "fra03"
			return "data centre " + code
		}
	}
	// An incident of other data centres alone does not touch this house, whatever it says of the network.
	if places != "" && !strings.Contains(strings.ToLower(text), "tunnel") {
		return ""
	}
	return subjects.FindString(text)
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
