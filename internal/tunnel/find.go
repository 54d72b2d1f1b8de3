package tunnel

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/net/idna"

	"tunnelmedic/internal/probe"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/words"
)

// Target is what is watched.
type Target struct {
	Slug     string
	Name     string
	Hostname string   // of the app, inside Home Assistant's network
	URL      *url.URL // Home Assistant as seen from outside
	How      string   // where the URL was found

	// Trusted says that URL is this home's: the user has named it, Home Assistant's
	// own external URL does, or an app from one of its makers' stores serves it. No
	// credential may be shown to any other.
	Trusted bool
	// Others are the slugs of other Cloudflared apps that are installed, sorted: they
	// are neither looked at nor touched.
	Others []string
}

// Trouble is why there is nothing to watch, and what a person can do about it.
type Trouble struct{ words.Text }

func (t *Trouble) Error() string { return words.English().Text(t.Text) }

func trouble(key words.Key, with ...words.With) error { return &Trouble{words.Of(key, with...)} }

// Wish is what the user has set, and what is known from before; all may be empty.
type Wish struct {
	Slug string // the option cloudflared_slug
	URL  string // the option public_url
	Kept string // the app that was watched before
	// Home is where Home Assistant listens, where that cannot be asked for.
	Home string
}

// Choose picks the app to watch, and gives the slugs of the others. The one that was
// watched before stays it while it is installed, running or not: another one that
// appears is no reason to send this home's credentials elsewhere. Unasked, only an
// app from one of the makers' stores is taken, or a copy on this machine; of several
// the running one is meant.
func Choose(installed []supervisor.AddOn, w Wish) (chosen supervisor.AddOn, others []string, err error) {
	all, mine, running := candidates(installed, w)
	kept := slices.IndexFunc(mine, func(a supervisor.AddOn) bool { return a.Slug == w.Kept })
	switch {
	case len(mine) == 0:
		return chosen, nil, none(all, w)
	case kept >= 0:
		chosen = mine[kept]
	case len(mine) == 1:
		chosen = mine[0]
	case len(running) == 1:
		chosen = running[0]
	case len(running) == 0:
		return chosen, nil, trouble("blind.none-runs", words.With{"apps": slugs(mine)})
	default:
		return chosen, nil, trouble("blind.several-run", words.With{"apps": slugs(running)})
	}
	for _, a := range all {
		if a.Slug != chosen.Slug {
			others = append(others, a.Slug)
		}
	}
	slices.Sort(others)
	return chosen, others, nil
}

// candidates are the Cloudflared apps that are installed, those of them that may be taken,
// and those of these that run.
func candidates(installed []supervisor.AddOn, w Wish) (all, mine, running []supervisor.AddOn) {
	for _, a := range installed {
		if a.Slug != w.Slug && !strings.HasSuffix(a.Slug, Suffix) {
			continue
		}
		all = append(all, a)
		if w.Slug != "" && a.Slug != w.Slug || w.Slug == "" && ProvenanceOf(a.Slug) == Stranger {
			continue
		}
		mine = append(mine, a)
		if a.State.Runs() {
			running = append(running, a)
		}
	}
	return all, mine, running
}

// none is the trouble of having nothing to choose from.
func none(all []supervisor.AddOn, w Wish) error {
	switch {
	case w.Slug != "":
		return trouble("blind.not-installed", words.With{"app": w.Slug})
	case len(all) > 0:
		return trouble("blind.strange-store", words.With{"apps": slugs(all)})
	}
	return trouble("blind.no-app")
}

func slugs(list []supervisor.AddOn) string {
	names := make([]string, len(list))
	for i, a := range list {
		names[i] = a.Slug
	}
	return strings.Join(names, ", ")
}

// Source is what Find asks of Supervisor.
type Source interface {
	Cores
	AddOns(context.Context) ([]supervisor.AddOn, error)
	Info(ctx context.Context, slug string) (supervisor.Info, error)
	Repository(ctx context.Context, slug string) (supervisor.Repository, error)
	CoreConfig(context.Context) (supervisor.CoreConfig, error)
}

// Find says what is to be watched. A *Trouble means that a person has to do
// something; any other error, that Supervisor could not be asked.
//
// The address is looked for where it is most likely right: the user's own word, what
// the app's options or, for a tunnel that is managed with a token, the connector's
// rules say of the host names that lead to Home Assistant, and Home Assistant's
// external URL. Of several such names the one in the external URL is meant, else the
// first.
func Find(ctx context.Context, s Source, w Wish, connector func(Target) *Connector) (Target, error) {
	installed, err := s.AddOns(ctx)
	if err != nil {
		return Target{}, fmt.Errorf("looking for the Cloudflared app: %w", err)
	}
	chosen, others, from, err := choose(ctx, s, installed, w)
	if err != nil {
		return Target{}, err
	}
	info, err := s.Info(ctx, chosen.Slug)
	if err != nil {
		return Target{}, fmt.Errorf("reading the Cloudflared app: %w", err)
	}
	t := Target{Slug: chosen.Slug, Name: info.Name, Hostname: info.Hostname, Others: others}
	if w.URL != "" {
		t.How = "the option public_url"
		if t.URL, err = probe.CheckURL(w.URL); err != nil {
			return t, trouble("blind.bad-address", words.With{"error": err})
		}
		t.Trusted = true
		return t, nil
	}
	f := finder{
		core: sync.OnceValues(func() (*url.URL, error) { return external(ctx, s) }),
		home: sync.OnceValue(func() Home { return HomeOf(ctx, s, w.Home) }),
	}
	if t.URL, t.How = f.byApp(info.Options, func() ([]Rule, error) { return connector(t).Ingress(ctx) }); t.URL != nil {
		if t.Trusted = from == Known; !t.Trusted {
			core, _ := f.core() // one that does not answer names nothing
			t.Trusted = core != nil && core.Host == t.URL.Host
		}
		return t, nil
	}
	core, err := f.core()
	switch {
	case core != nil:
		t.URL, t.How, t.Trusted = core, "Home Assistant's external URL", true
		return t, nil
	case supervisor.Is(err, supervisor.Away) || supervisor.Is(err, supervisor.CoreAway) || supervisor.Is(err, supervisor.Interrupted):
		return t, fmt.Errorf("looking for the public address: %w", err)
	case info.State.Ended():
		return t, trouble("blind.not-running")
	}
	return t, trouble("blind.no-address")
}

// choose is Choose, and holds what it has chosen against the store's whole address.
func choose(ctx context.Context, s Source, installed []supervisor.AddOn, w Wish) (supervisor.AddOn, []string, Provenance, error) {
	for {
		chosen, others, err := Choose(installed, w)
		from := ProvenanceOf(chosen.Slug)
		if err != nil || from != Known {
			return chosen, others, from, err
		}
		store := strings.TrimSuffix(chosen.Slug, Suffix)
		r, err := s.Repository(ctx, store)
		// A Supervisor that does not say leaves it at the slug.
		if err != nil || r.Source == "" || genuine(store, r.Source) {
			return chosen, others, Known, nil
		}
		if chosen.Slug == w.Slug { // the user has named it
			return chosen, others, Stranger, nil
		}
		rest := slices.DeleteFunc(slices.Clone(installed), func(a supervisor.AddOn) bool { return a.Slug == chosen.Slug })
		if _, _, err := Choose(rest, w); err != nil {
			return supervisor.AddOn{}, nil, Stranger, none([]supervisor.AddOn{chosen}, w)
		}
		installed = rest
	}
}

// finder looks for the address. What it asks is asked once, and only where it is needed.
type finder struct {
	core func() (*url.URL, error) // Home Assistant's external URL, nil if it is of no use
	home func() Home
}

// external is Home Assistant's external URL; no URL and no error where it is not set,
// or is none of the world outside.
func external(ctx context.Context, s Source) (*url.URL, error) {
	core, err := s.CoreConfig(ctx)
	if err != nil || core.ExternalURL == "" {
		return nil, err
	}
	u, err := probe.CheckURL(core.ExternalURL)
	if err != nil {
		return nil, nil
	}
	return u, nil
}

// byApp finds the address by what the app serves. With a token cloudflared fetches its
// rules, and the app's start script ignores every option of its own; without one it
// writes them from the options. nil if neither names one.
func (f *finder) byApp(o supervisor.Options, ingress func() ([]Rule, error)) (*url.URL, string) {
	if o != nil && o.Text("tunnel_token") == "" {
		own := address(o.Text("external_hostname"))
		u := own
		if own == nil || !probe.Loopback(own.Hostname()) {
			u = f.byRules(written(o, own, f.home))
		}
		switch {
		case u == nil:
		case own != nil && u.Host == own.Host:
			return u, "external_hostname of the Cloudflared app"
		default:
			return u, "the options of the Cloudflared app"
		}
	}
	rules, err := ingress()
	if err != nil {
		return nil, ""
	}
	return f.byRules(rules), "the connector's ingress rules"
}

// byRules picks the host name that leads to Home Assistant. A wildcard or the
// catch-all stands for no name of its own; the external URL may be below it.
func (f *finder) byRules(rules []Rule) *url.URL {
	best, only := f.named(rules)
	if only {
		return best
	}
	core, err := f.core()
	if err != nil || core == nil || isAddress(core.Hostname()) || !proxied(core) {
		return best
	}
	rule, ok := taker(rules, core.Hostname())
	if !ok || f.leads(rule) == foreign || rule.everyHost() && best != nil {
		return best
	}
	return core
}

// named picks the host name that leads most likely to Home Assistant, the first of
// several; only says that no other name can be meant.
func (f *finder) named(rules []Rule) (best *url.URL, only bool) {
	surest, several, open := foreign, false, false
	for _, r := range rules {
		kin := f.leads(r)
		if kin == foreign {
			continue
		}
		if r.everyHost() || strings.HasPrefix(r.Hostname, "*") {
			open = true
			continue
		}
		u := address(r.Hostname)
		if u == nil {
			continue
		}
		if first, ok := taker(rules, u.Hostname()); !ok || first != r {
			continue // another rule takes its WebSocket
		}
		several = several || best != nil
		if kin > surest {
			best, surest = u, kin
		}
	}
	return best, best != nil && !several && !open
}

func (f *finder) leads(r Rule) kinship {
	u, err := url.Parse(r.Service)
	if err != nil || !web(u) {
		return foreign
	}
	return f.home().kinship(u)
}

// written gives the rules that the app's start script makes of its options
// (createConfig in prepare/run.sh): Home Assistant, the additional hosts, and what
// takes the rest.
func written(o supervisor.Options, own *url.URL, home func() Home) (rules []Rule) {
	if own != nil {
		at := "http://homeassistant:8123"
		if u := home().URL; u != nil {
			at = u.String()
		}
		rules = append(rules, Rule{Hostname: own.Hostname(), Service: at})
	}
	rules = append(rules, additional(o)...)
	if rest := o.Text("catch_all_service"); rest != "" {
		rules = append(rules, Rule{Service: rest})
	}
	return rules
}

// additional are the option additional_hosts.
func additional(o supervisor.Options) []Rule {
	var list []Rule
	if o.Into("additional_hosts", &list) != nil {
		return nil
	}
	for i := range list {
		list[i].Path = "" // none of the app's
	}
	return list
}

// address is where a host name leads, as people write it into the app's options: with a scheme,
// a port or a path, in capitals, with a dot at the end, or with letters outside a–z,
// which cloudflared looks up in their xn-- form. nil if it is none. The tunnel's names
// are reached at Cloudflare, so the port is never part of it; only this machine
// itself, which no tunnel serves, keeps it.
func address(text string) *url.URL {
	text = strings.TrimSpace(text)
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.User != nil {
		return nil
	}
	at, host := u.Scheme+"://"+u.Host, strings.TrimSuffix(u.Hostname(), ".")
	switch {
	case probe.Loopback(host):
	case isAddress(host):
		return nil
	default:
		at = "https://" + lookedUp(host)
	}
	if u, err = probe.CheckURL(at); err != nil {
		return nil
	}
	return u
}

// lookedUp is a name in the form in which it is looked up; "" if there is none.
func lookedUp(host string) string {
	if !strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII }) {
		return host
	}
	puny, err := idna.Lookup.ToASCII(host)
	if err != nil {
		return ""
	}
	return puny
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// proxied says whether Cloudflare's edge listens at a URL's port
// (developers.cloudflare.com/fundamentals/reference/network-ports); this machine
// itself stands for it in the lab.
func proxied(u *url.URL) bool {
	return probe.Loopback(u.Hostname()) || slices.Contains([]string{"443", "2053", "2083", "2087", "2096", "8443"}, port(u))
}

// ConnectorOf makes the target's connector, at url where one is given.
func ConnectorOf(t Target, url string) *Connector {
	if url == "" {
		url = MetricsURL(t.Hostname)
	}
	return NewConnector(url)
}

// MetricsURL is where an app's connector tells of itself: the Cloudflared app always
// passes --metrics=0.0.0.0:36500.
func MetricsURL(hostname string) string {
	return "http://" + net.JoinHostPort(hostname, strconv.Itoa(36500))
}
