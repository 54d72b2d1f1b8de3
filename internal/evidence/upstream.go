package evidence

import (
	"slices"
	"time"
)

// Upstream is Cloudflare's own word: its status page, and, with a token, its API.
// Parts that could not be asked are zero and say nothing; Troubles says why.
type Upstream struct {
	At time.Time `json:"at"`

	PageAsked bool       `json:"page_asked,omitempty"` // the status page answered
	Reports   []Reported `json:"reports,omitempty"`    // its incidents that may touch this tunnel, newest first

	Zone       string         `json:"zone,omitempty"` // name of the zone the host belongs to
	Connectors []TunnelClient `json:"connectors,omitempty"`
	WebSockets *Setting       `json:"websockets,omitempty"` // Network → WebSockets
	HTTP3      *Setting       `json:"http3,omitempty"`      // between browser and edge
	MutualTLS  *Setting       `json:"mutual_tls,omitempty"` // on: visitors of this host are asked for a certificate
	Rules      []RuleSet      `json:"rules,omitempty"`      // the managed DDoS L7 rule sets

	Troubles []Gap `json:"troubles,omitempty"`
}

// Reported is an incident on Cloudflare's status page.
type Reported struct {
	Name     string    `json:"name"`
	Status   string    `json:"status"` // investigating, identified, monitoring, resolved, postmortem
	Impact   string    `json:"impact"` // none, minor, major, critical, maintenance
	Started  time.Time `json:"started"`
	Resolved time.Time `json:"resolved,omitzero"`
	Link     string    `json:"link,omitempty"`
	Why      string    `json:"why"` // why it may touch this tunnel: "Tunnel", "WebSocket", "data centre FRA"
}

// TunnelClient is a connector that Cloudflare sees on the tunnel.
type TunnelClient struct {
	Version  string    `json:"version"`
	Features []string  `json:"features,omitempty"` // they differ at one version: Cloudflare switches some on for a part of the tunnels
	RunAt    time.Time `json:"run_at,omitzero"`
	Colos    []string  `json:"colos,omitempty"` // "fra03": where its connections end; those that are gone are not among them
}

// Setting is a switch of the zone.
type Setting struct {
	Value    string    `json:"value"` // "on" or "off"
	Modified time.Time `json:"modified,omitzero"`
}

// RuleSet is a managed set of rules at the version now in force.
type RuleSet struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Version string    `json:"version"`
	Updated time.Time `json:"updated"` // by Cloudflare's clock
}

// Said gives what the API said in the form the diagnosis reads.
func (u Upstream) Said() Zone {
	z := Zone{WebSockets: u.WebSockets.is()}
	switch tls, http3 := u.MutualTLS.is(), u.HTTP3.is(); {
	case tls == Off || http3 == Off:
		z.SignIn = Off
	case tls == On && http3 == On:
		z.SignIn = On
	}
	if u.Connectors != nil {
		z.Connected = Off
		if slices.ContainsFunc(u.Connectors, func(c TunnelClient) bool { return len(c.Colos) > 0 }) {
			z.Connected = On
		}
	}
	return z
}

func (s *Setting) is() Switch {
	if s == nil {
		return NotKnown
	}
	return map[string]Switch{"on": On, "off": Off}[s.Value]
}
