package addon

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/doctor"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/network"
	"tunnelmedic/internal/probe"
	"tunnelmedic/internal/secret"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/survey"
	"tunnelmedic/internal/tunnel"
	"tunnelmedic/internal/upstream"
)

// Consultation is what `tunnelmedic doctor` is given on its command line.
type Consultation struct {
	URL              string // "": from the options, or found
	Certificate, Key string // PEM files for mutual TLS; "": from the options
}

// Consulted is a doctor's place to look at, made from options and command line.
type Consulted struct {
	Place    doctor.Place
	Path     string // of the URL, for the look over HTTP/2; "" if it has none
	Warnings []string
	// Refuse notes that Home Assistant refused the token, so that nobody sends it again.
	Refuse func() error
}

// Consult composes what the doctor needs: inside Home Assistant all of it, anywhere
// else (without SUPERVISOR_TOKEN) what can be seen from outside. An error is one
// line that says what to write instead.
func Consult(environ []string, version string, c Consultation) (Consulted, error) {
	var out Consulted
	o, warnings, err := LoadOptions(environ)
	if err != nil {
		return out, err
	}
	out.Warnings = warnings
	keeper := &secret.Keeper{}
	keeper.Add(o.secrets()...)
	given := c.URL != ""
	if !given {
		c.URL = o.PublicURL
	}
	base, path, notes, err := address(c.URL)
	if err != nil {
		return out, err
	}
	if c.Certificate != "" || c.Key != "" {
		o.ClientCertificate, o.ClientKey = "", ""
	}
	public, outside, err := publicTarget(o, keeper, network.Network{})
	if err != nil {
		return out, err
	}
	if c.Certificate != "" || c.Key != "" {
		if c.Certificate == "" || c.Key == "" {
			return out, errors.New("--cert and --key go together: give both")
		}
		pair, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
		if err != nil {
			return out, fmt.Errorf("--cert and --key: %w; both are PEM files, and the key must belong to the certificate", err)
		}
		public.Certificate = &pair
	}
	public.URL, public.UserAgent = base, "tunnelmedic/"+firstWord(version)
	rec := journal.Peek(o.DataDir)
	if t := token(o, rec, zerolog.Nop()); t != nil {
		public.Token = t
		out.Refuse = func() error { return journal.Refuse(o.DataDir, t.Fingerprint()) }
	}
	out.Path = path
	out.Place = doctor.Place{Public: public, Looks: survey.Settings{World: outside}, Notes: notes}
	if o.SupervisorToken == "" {
		out.Place.Notes = append(out.Place.Notes, "This is not inside Home Assistant, so only what can be seen from outside is looked at.")
		return out, nil
	}
	out.Place.Wish = tunnel.Wish{Slug: o.CloudflaredSlug, URL: o.PublicURL, Kept: rec.Slug}
	cloudflare := upstream.New(upstream.Config{StatusURL: o.CloudflareStatusURL, APIURL: o.CloudflareAPIURL, Token: o.CloudflareAPIToken, Keeper: keeper})
	out.Place.Word = cloudflare
	out.Place.Looks = survey.Settings{
		Supervisor: supervisor.New(supervisor.Config{BaseURL: o.SupervisorURL, Token: o.SupervisorToken, Keeper: keeper}),
		Cloudflare: cloudflare,
		World:      outside, ConnectorURL: o.ConnectorURL, OriginURL: o.OriginURL, Edge: o.QUICEdge,
		Recall: func(host string) evidence.Memory { return evidence.Memory{Known: true, Ever: rec.Ever(host)} },
	}
	return out, nil
}

// address reads an address as people write it: with or without scheme, or copied from
// the browser with a path behind it. "" gives no URL and no error.
func address(text string) (base *url.URL, path string, notes []string, err error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, "", nil, nil
	}
	if !strings.Contains(text, "://") {
		text = "https://" + text
		notes = append(notes, "The address has no https:// in front; it is taken to be meant.")
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		// CheckURL says it without repeating what may be secret.
		_, err = probe.CheckURL(text)
		return nil, "", nil, fmt.Errorf("--url: %w", err)
	}
	path = u.EscapedPath()
	if path == "/" {
		path = ""
	}
	if u.RawQuery != "" || u.Fragment != "" {
		notes = append(notes, "What stands behind ? or # in the address is left out.")
	}
	u.Path, u.RawPath, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = "", "", "", false, "", ""
	if base, err = probe.CheckURL(u.String()); err != nil {
		return nil, "", nil, fmt.Errorf("--url: %w", err)
	}
	return base, path, notes, nil
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}
