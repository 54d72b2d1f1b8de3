package supervisor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/plain"
)

// AddOn is an installed add-on as the list of all names it.
type AddOn struct {
	Slug            string              `json:"slug"`
	Name            string              `json:"name"`
	State           evidence.AddOnState `json:"state"`
	Version         string              `json:"version"`
	VersionLatest   string              `json:"version_latest"`
	UpdateAvailable bool                `json:"update_available"`
	Repository      string              `json:"repository"` // "local", "core", or the store's hash
}

// AddOns lists the installed add-ons. It needs role manager.
func (c *Client) AddOns(ctx context.Context) ([]AddOn, error) {
	var data struct {
		AddOns *[]AddOn `json:"addons"`
	}
	q := call{op: "listing the apps", method: http.MethodGet, path: "/addons", patience: reading}
	if err := c.ask(ctx, q, &data); err != nil {
		return nil, err
	}
	if data.AddOns == nil {
		return nil, unexpected(q, "an answer without add-ons")
	}
	for i := range *data.AddOns {
		a := &(*data.AddOns)[i]
		// Whoever made the app chose these.
		a.Name, a.Version, a.VersionLatest = plain.Name(a.Name), plain.Name(a.Version), plain.Name(a.VersionLatest)
		a.State = knownState(a.State)
	}
	return *data.AddOns, nil
}

// Info is what Supervisor knows of one add-on.
type Info struct {
	Slug            string
	Name            string
	Hostname        string // under which other add-ons reach it
	IPAddress       string // in Docker's network
	State           evidence.AddOnState
	Version         string // "" if it is not installed
	VersionLatest   string
	UpdateAvailable bool

	// Options is nil if they are not known: OptionsError then says why. Supervisor
	// hides them behind {} from a caller without role manager, and {} taken for
	// what is stored would erase the user's configuration at the next write.
	Options      Options
	OptionsError error
}

// Installed says whether it is installed.
func (i Info) Installed() bool { return i.Version != "" }

// Evidence gives the part that a diagnosis reads.
func (i Info) Evidence() evidence.AddOn {
	a := evidence.AddOn{Asked: true, Installed: i.Installed(), Slug: i.Slug, Name: i.Name, Version: i.Version, State: i.State}
	if i.OptionsError == nil && i.Options != nil {
		a.HasToken, a.TokenKnown = Managed(i.Options), true
		if !a.HasToken {
			a.External = i.Options.Text("external_hostname")
		}
	}
	return a
}

// Info reads one add-on. For one that is in a store but not installed the answer is
// no error, and Installed is false. The error is about the call; that the options are
// hidden is told by [Info.OptionsError], as everything else is there all the same.
func (c *Client) Info(ctx context.Context, slug string) (Info, error) {
	q := call{op: "reading the app " + slug, method: http.MethodGet, path: "/addons/" + slug + "/info", patience: reading}
	if err := named("an add-on", slug); err != nil {
		return Info{}, err
	}
	var data struct {
		Slug            string              `json:"slug"`
		Name            string              `json:"name"`
		Hostname        string              `json:"hostname"`
		IPAddress       string              `json:"ip_address"`
		State           evidence.AddOnState `json:"state"`
		Version         string              `json:"version"`
		VersionLatest   string              `json:"version_latest"`
		UpdateAvailable bool                `json:"update_available"`
		Options         json.RawMessage     `json:"options"`
		Schema          json.RawMessage     `json:"schema"`
	}
	if err := c.ask(ctx, q, &data); err != nil {
		return Info{}, err
	}
	if data.Slug == "" {
		return Info{}, unexpected(q, "an answer without a slug")
	}
	info := Info{Slug: data.Slug, Name: plain.Name(data.Name), Hostname: data.Hostname, IPAddress: data.IPAddress, State: knownState(data.State),
		Version: plain.Name(data.Version), VersionLatest: plain.Name(data.VersionLatest), UpdateAvailable: data.UpdateAvailable}

	q.op = "reading the options of " + slug
	var options Options
	switch {
	case !info.Installed():
		info.OptionsError = &Error{Op: q.op, Kind: NotFound, Message: "it is not installed"}
	case json.Unmarshal(data.Options, &options) != nil || options == nil:
		info.OptionsError = unexpected(q, "its options are not a JSON object")
	case len(options) == 0 && !empty(data.Schema):
		info.OptionsError = &Error{Op: q.op, Kind: NoRole, Status: http.StatusOK, Message: "they are hidden, because this add-on's hassio_role manager is missing"}
	default:
		c.keeper.Add(options.secrets()...)
		info.Options = options
	}
	return info, nil
}

// empty says whether a schema has no fields. Supervisor gives a list of fields, or
// null for an add-on that takes no options.
func empty(schema json.RawMessage) bool {
	var compact bytes.Buffer
	if json.Compact(&compact, schema) != nil {
		return true
	}
	switch compact.String() {
	case "", "null", "[]", "{}", "false":
		return true
	}
	return false
}

func knownState(s evidence.AddOnState) evidence.AddOnState {
	//exhaustive:ignore
	switch s {
	case evidence.StateStartup, evidence.StateStarted, evidence.StateStopped, evidence.StateError:
		return s
	}
	return evidence.StateUnknown
}

// Self is this add-on as Supervisor sees it.
type Self struct {
	Slug       string `json:"slug"`
	Name       string `json:"name"`
	Version    string `json:"version"`
	Hostname   string `json:"hostname"`
	Entry      string `json:"ingress_entry"` // the same without the slash at the end
	Repository string `json:"repository"`    // the store's slug; "local" for one's own folder
}

// Self reads this add-on.
func (c *Client) Self(ctx context.Context) (Self, error) {
	var self Self
	q := call{op: "reading Tunnel Medic's own data", method: http.MethodGet, path: "/addons/self/info", patience: reading}
	if err := c.ask(ctx, q, &self); err != nil {
		return Self{}, err
	}
	if !isWord(self.Slug) {
		return Self{}, unexpected(q, "an answer without a slug")
	}
	return self, nil
}

// SetOptions replaces all options of an add-on; they take effect at its next start.
// Supervisor checks them first and saves nothing that does not fit the add-on's schema
// (kind Rejected). The last writer wins: read just before, and read back after. Options
// that are empty or hold a secret reference are refused without asking.
func (c *Client) SetOptions(ctx context.Context, slug string, options Options) error {
	q := call{op: "writing the options of " + slug, method: http.MethodPost, path: "/addons/" + slug + "/options", options: true, patience: writing}
	if err := guard(q.op, slug, options); err != nil {
		return err
	}
	if options.HoldsSecretReference() {
		return &Error{Op: q.op, Kind: Rejected, Message: "they refer to secrets.yaml (!secret), and some Supervisors would write the secret itself in its place; change run_parameters by hand"}
	}
	q.body = append(append([]byte(`{"options":`), options.body()...), '}')
	return c.ask(ctx, q, nil)
}

// ValidateOptions asks whether an add-on would accept these options; nil says yes.
// Nothing is stored.
func (c *Client) ValidateOptions(ctx context.Context, slug string, options Options) error {
	q := call{op: "checking the options of " + slug, method: http.MethodPost, path: "/addons/" + slug + "/options/validate", options: true, patience: checking}
	if err := guard(q.op, slug, options); err != nil {
		return err
	}
	q.body = options.body()
	var verdict struct {
		Valid   *bool  `json:"valid"`
		Message string `json:"message"`
	}
	if err := c.ask(ctx, q, &verdict); err != nil {
		return err
	}
	if verdict.Valid == nil {
		return unexpected(q, "an answer without a verdict")
	}
	if !*verdict.Valid {
		return &Error{Op: q.op, Kind: Rejected, Status: http.StatusOK, Message: c.optionsRefused(verdict.Message)}
	}
	return nil
}

// guard keeps what would erase or garble a configuration from being sent at all.
func guard(op, slug string, options Options) error {
	if err := named("an add-on", slug); err != nil {
		return err
	}
	if len(options) == 0 {
		return &Error{Op: op, Kind: Rejected, Message: "there are none, and writing none would erase the configuration"}
	}
	for _, name := range options.Names() {
		if raw := options[name]; !json.Valid(raw) || string(bytes.TrimSpace(raw)) == "null" {
			return &Error{Op: op, Kind: Rejected, Message: "the option " + name + " has no value"}
		}
	}
	return nil
}

// Restart stops and starts an add-on and waits for it. No error says that its container
// started, not that it works. After an error it may be stopped, and Supervisor's
// watchdog does not start it: read its state, and call Start.
func (c *Client) Restart(ctx context.Context, slug string) error {
	return c.act(ctx, "restarting", slug, "restart", restarting)
}

// Start starts an add-on and waits for it, as Restart does.
func (c *Client) Start(ctx context.Context, slug string) error {
	return c.act(ctx, "starting", slug, "start", starting)
}

// Stop stops an add-on and waits until it has ended.
func (c *Client) Stop(ctx context.Context, slug string) error {
	return c.act(ctx, "stopping", slug, "stop", stopping)
}

func (c *Client) act(ctx context.Context, doing, slug, verb string, p patience) error {
	q := call{op: doing + " " + slug, method: http.MethodPost, path: "/addons/" + slug + "/" + verb, patience: p}
	if err := named("an add-on", slug); err != nil {
		return err
	}
	return c.ask(ctx, q, nil)
}

// Log gives the end of an add-on's log, from its current run where Supervisor can tell,
// scrubbed, at most 2000 lines and 256 KiB.
func (c *Client) Log(ctx context.Context, slug string) (string, error) {
	if err := named("an add-on", slug); err != nil {
		return "", err
	}
	return c.log(ctx, slug, "/addons/"+slug)
}

// CoreLog is Log for Home Assistant itself. It holds addresses and names of people: who
// reads it keeps counts alone.
func (c *Client) CoreLog(ctx context.Context) (string, error) {
	return c.log(ctx, "Home Assistant", "/core")
}

func (c *Client) log(ctx context.Context, of, path string) (string, error) {
	q := call{op: "reading the log of " + of, method: http.MethodGet, path: path + "/logs/latest",
		// Without lines, Supervisor sends the whole run, weeks of it.
		query: "no_colors=&lines=2000", text: true, patience: readingLog}
	text, err := c.do(ctx, q)
	if Is(err, Failed) || Is(err, NotFound) || Is(err, Rejected) {
		// Nothing of this run yet, or a Supervisor that does not know of runs.
		q.path = path + "/logs"
		text, err = c.do(ctx, q)
	}
	if err != nil {
		return "", err
	}
	return strings.ToValidUTF8(string(c.keeper.ScrubBytes(text)), "?"), nil
}

// WhyAway gives the reason for evidence.Evidence.SupervisorAway: "" unless err says
// that Supervisor could not be asked, or refused our token: nothing is known then.
func WhyAway(err error) string {
	var e *Error
	if errors.As(err, &e) && (e.Kind == Away || e.Kind == Unauthorised || e.Kind == Unexpected) {
		return e.Message
	}
	return ""
}
