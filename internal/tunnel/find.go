package tunnel

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/probe"
	"tunnelmedic/internal/supervisor"
)

// Suffix ends the slug of every Cloudflared add-on: what stands before it depends
// on the store it came from.
const Suffix = "_cloudflared"

// Target is what is watched.
type Target struct {
	Slug     string
	Name     string
	Hostname string   // of the add-on, inside Home Assistant's network
	URL      *url.URL // Home Assistant as seen from outside
	How      string   // where the URL was found
}

// Trouble is why there is nothing to watch: a sentence, and what to do about it.
type Trouble struct{ Summary, Advice string }

func (t *Trouble) Error() string { return t.Summary + " " + t.Advice }

// Choose picks the add-on to watch. Of several the running one is meant.
func Choose(installed []supervisor.AddOn, slug string) (supervisor.AddOn, error) {
	var found, running []supervisor.AddOn
	for _, a := range installed {
		if a.Slug == slug || slug == "" && strings.HasSuffix(a.Slug, Suffix) {
			found = append(found, a)
			if a.State == evidence.StateStarted || a.State == evidence.StateStartup {
				running = append(running, a)
			}
		}
	}
	switch {
	case len(found) == 0 && slug != "":
		return supervisor.AddOn{}, &Trouble{"The add-on " + slug + " is not installed.", "Check the option cloudflared_slug, or leave it empty to have the add-on found."}
	case len(found) == 0:
		return supervisor.AddOn{}, &Trouble{"No Cloudflared add-on is installed.", "Install and start it; Tunnel Medic finds it by itself."}
	case len(found) == 1:
		return found[0], nil
	case len(running) == 1:
		return running[0], nil
	}
	names := make([]string, len(found))
	for i, a := range found {
		names[i] = a.Slug
	}
	if len(running) == 0 {
		return supervisor.AddOn{}, &Trouble{"Several Cloudflared add-ons are installed and none is running (" + strings.Join(names, ", ") + ").", "Start the one you use, or name it in the option cloudflared_slug."}
	}
	return supervisor.AddOn{}, &Trouble{"Several Cloudflared add-ons are running (" + strings.Join(names, ", ") + ").", "Name the one to watch in the option cloudflared_slug."}
}

// Source is what Find asks of Supervisor.
type Source interface {
	AddOns(context.Context) ([]supervisor.AddOn, error)
	Info(ctx context.Context, slug string) (supervisor.Info, error)
	CoreConfig(context.Context) (supervisor.CoreConfig, error)
}

// Wish is what the user has set; both may be empty.
type Wish struct{ Slug, URL string }

// Find says what is to be watched. A *Trouble means that a person has to do
// something; any other error, that Supervisor could not be asked.
//
// The address is looked for where it is most surely right: the user's own word,
// the add-on's external_hostname, the connector's ingress rules (remotely managed
// tunnels have no external_hostname), and Home Assistant's external URL.
func Find(ctx context.Context, s Source, w Wish, connector func(Target) *Connector) (Target, error) {
	installed, err := s.AddOns(ctx)
	if err != nil {
		return Target{}, fmt.Errorf("looking for the Cloudflared add-on: %w", err)
	}
	chosen, err := Choose(installed, w.Slug)
	if err != nil {
		return Target{}, err
	}
	info, err := s.Info(ctx, chosen.Slug)
	if err != nil {
		return Target{}, fmt.Errorf("reading the Cloudflared add-on: %w", err)
	}
	t := Target{Slug: info.Slug, Name: info.Name, Hostname: info.Hostname}
	if t.Slug == "" {
		t.Slug = chosen.Slug
	}
	if w.URL != "" {
		t.How = "the option public_url"
		if t.URL, err = probe.CheckURL(w.URL); err != nil {
			return t, &Trouble{"The option public_url cannot be used.", err.Error() + "."}
		}
		return t, nil
	}
	if host := info.Options.Text("external_hostname"); host != "" {
		if t.URL, err = fromHost(host); err == nil {
			t.How = "external_hostname of the add-on"
			return t, nil
		}
	}
	if rules, err := connector(t).Ingress(ctx); err == nil {
		if host := homeAssistantHost(rules); host != "" {
			if t.URL, err = fromHost(host); err == nil {
				t.How = "the connector's ingress rules"
				return t, nil
			}
		}
	}
	core, err := s.CoreConfig(ctx)
	if err == nil && core.ExternalURL != "" {
		if t.URL, err = probe.CheckURL(core.ExternalURL); err == nil {
			t.How = "Home Assistant's external URL"
			return t, nil
		}
	}
	if supervisor.Is(err, supervisor.Away) || supervisor.Is(err, supervisor.CoreAway) || supervisor.Is(err, supervisor.Interrupted) {
		return t, fmt.Errorf("looking for the public address: %w", err)
	}
	if info.State == evidence.StateStopped || info.State == evidence.StateError {
		return t, &Trouble{"The Cloudflared add-on is not running, and the public address is not known.", "Start it, or set the option public_url to the address at which you reach Home Assistant from outside."}
	}
	return t, &Trouble{"The public address of Home Assistant could not be found.", "Set the option public_url to the address at which you reach Home Assistant from outside, such as https://ha.example.com."}
}

func fromHost(host string) (*url.URL, error) { return probe.CheckURL("https://" + host) }

// homeAssistantHost picks the host name whose service is Home Assistant: by the
// name it bears in every installation, else by its port.
func homeAssistantHost(rules []Rule) string {
	byPort := ""
	for _, r := range rules {
		u, err := url.Parse(r.Service)
		if err != nil || r.Hostname == "" || strings.Contains(r.Hostname, "*") || u.Scheme != "http" && u.Scheme != "https" {
			continue
		}
		host, port := u.Hostname(), u.Port()
		switch {
		case host == "homeassistant" || strings.HasPrefix(host, "homeassistant."):
			return r.Hostname
		case port == "8123" && byPort == "":
			byPort = r.Hostname
		}
	}
	return byPort
}

// ConnectorOf makes the target's connector, at url where one is given.
func ConnectorOf(t Target, url string) *Connector {
	if url == "" {
		url = MetricsURL(t.Hostname)
	}
	return NewConnector(url)
}

// MetricsURL is where an add-on's connector tells of itself: the Cloudflared
// add-on always passes --metrics=0.0.0.0:36500.
func MetricsURL(hostname string) string {
	return "http://" + net.JoinHostPort(hostname, strconv.Itoa(36500))
}
