package supervisor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/plain"
)

// Apps are the installed apps: the watched one, its options, and what can be done to it.
type Apps struct{ line *line }

// AddOn is an installed add-on as the list of all names it.
type AddOn struct {
	Slug    string              `json:"slug"`
	Name    string              `json:"name"`
	State   evidence.AddOnState `json:"state"`
	Version string              `json:"version"`
}

// AddOns lists the installed add-ons. It needs role manager.
func (a Apps) AddOns(ctx context.Context) ([]AddOn, error) {
	type answer struct {
		AddOns *[]AddOn `json:"addons"`
	}
	all, err := read(ctx, a.line, "listing the apps", func(r *answer) string { return unless(r.AddOns != nil, "add-ons") }, "addons")
	if err != nil {
		return nil, err
	}
	for i := range *all.AddOns {
		a := &(*all.AddOns)[i]
		// Whoever made the app chose these.
		a.Name, a.Version, a.State = plain.Name(a.Name), plain.Name(a.Version), knownState(a.State)
	}
	a.line.running.see(*all.AddOns)
	return *all.AddOns, nil
}

// running is which apps were seen running.
type running struct {
	mu     sync.Mutex
	slugs  map[string]bool // nil: the apps were not listed yet
	starts int64
}

func (r *running) see(list []AddOn) {
	now := map[string]bool{}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range list {
		if a.State != evidence.StateStarted {
			continue
		}
		now[a.Slug] = true
		if r.slugs != nil && !r.slugs[a.Slug] {
			r.starts++
		}
	}
	r.slugs = now
}

// Starts is how often an app was seen running, by the lists that were asked for, that was not
// running in the list before.
func (a Apps) Starts() int64 {
	r := &a.line.running
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.starts
}

// Info is what Supervisor knows of one add-on.
type Info struct {
	Slug     string              `json:"slug"`
	Name     string              `json:"name"`
	Hostname string              `json:"hostname"` // under which other add-ons reach it
	State    evidence.AddOnState `json:"state"`
	Version  string              `json:"version"` // "" if it is not installed

	// Options is nil if they are not known: OptionsError then says why. Supervisor
	// hides them behind {} from a caller without role manager, and {} taken for
	// what is stored would erase the user's configuration at the next write.
	Options      Options `json:"-"`
	OptionsError error   `json:"-"`
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
func (a Apps) Info(ctx context.Context, slug string) (Info, error) {
	type answer struct {
		Info
		Stored json.RawMessage `json:"options"`
		Schema json.RawMessage `json:"schema"`
	}
	data, err := read(ctx, a.line, "reading the app "+slug, func(r *answer) string { return unless(r.Slug != "", "a slug") }, "addons", slug, "info")
	if err != nil {
		return Info{}, err
	}
	info, q := data.Info, call{op: "reading the options of " + slug}
	info.Name, info.Version, info.State = plain.Name(info.Name), plain.Name(info.Version), knownState(info.State)
	var options Options
	switch {
	case !info.Installed():
		info.OptionsError = &Error{Op: q.op, Kind: NotFound, Message: "it is not installed"}
	case json.Unmarshal(data.Stored, &options) != nil || options == nil:
		info.OptionsError = unexpected(q, "its options are not a JSON object")
	case len(options) == 0 && !empty(data.Schema):
		info.OptionsError = &Error{Op: q.op, Kind: NoRole, Status: http.StatusOK, Message: "they are hidden, because this add-on's hassio_role manager is missing"}
	default:
		a.line.keeper.Add(options.secrets()...)
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
	Repository string `json:"repository"` // the store's slug; "local" for one's own folder
}

// Self reads this add-on.
func (a Apps) Self(ctx context.Context) (Self, error) {
	return read(ctx, a.line, "reading Tunnel Medic's own data", func(s *Self) string { return unless(isWord(s.Slug), "a slug") }, "addons", "self", "info")
}

// SetOptions replaces all options of an add-on; they take effect at its next start.
// Supervisor checks them first and saves nothing that does not fit the add-on's schema
// (kind Rejected). The last writer wins: read just before, and read back after. Options
// that are empty or hold a secret reference are refused without asking.
func (a Apps) SetOptions(ctx context.Context, slug string, options Options) error {
	q := call{op: "writing the options of " + slug, method: http.MethodPost, path: []string{"addons", slug, "options"}, options: true, patience: writing}
	if err := guard(q.op, options); err != nil {
		return err
	}
	if options.HoldsSecretReference() {
		return &Error{Op: q.op, Kind: Rejected, Message: "they refer to secrets.yaml (!secret), and some Supervisors would write the secret itself in its place; change run_parameters by hand"}
	}
	q.body = append(append([]byte(`{"options":`), options.body()...), '}')
	return a.line.ask(ctx, q, nil)
}

// ValidateOptions asks whether an add-on would accept these options; nil says yes.
// Nothing is stored.
func (a Apps) ValidateOptions(ctx context.Context, slug string, options Options) error {
	q := call{op: "checking the options of " + slug, method: http.MethodPost, path: []string{"addons", slug, "options", "validate"}, options: true, patience: checking}
	if err := guard(q.op, options); err != nil {
		return err
	}
	q.body = options.body()
	var verdict struct {
		Valid   *bool  `json:"valid"`
		Message string `json:"message"`
	}
	switch err := a.line.ask(ctx, q, &verdict); {
	case err != nil:
		return err
	case verdict.Valid == nil:
		return unexpected(q, "an answer without a verdict")
	case !*verdict.Valid:
		return &Error{Op: q.op, Kind: Rejected, Status: http.StatusOK, Message: a.line.optionsRefused(verdict.Message)}
	}
	return nil
}

// guard keeps what would erase or garble a configuration from being sent at all.
func guard(op string, options Options) error {
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
func (a Apps) Restart(ctx context.Context, slug string) error {
	return a.line.ask(ctx, call{op: "restarting " + slug, method: http.MethodPost, path: []string{"addons", slug, "restart"}, patience: restarting}, nil)
}

// Start starts an add-on and waits for it, as Restart does.
func (a Apps) Start(ctx context.Context, slug string) error {
	return a.line.ask(ctx, call{op: "starting " + slug, method: http.MethodPost, path: []string{"addons", slug, "start"}, patience: starting}, nil)
}

// Log gives the end of an add-on's log, from its current run where Supervisor can tell,
// scrubbed, at most 2000 lines and 256 KiB.
func (a Apps) Log(ctx context.Context, slug string) (string, error) {
	return a.line.log(ctx, slug, "addons", slug)
}

func (l *line) log(ctx context.Context, of string, path ...string) (string, error) {
	q := call{op: "reading the log of " + of, path: append(path, "logs", "latest"),
		// Without lines, Supervisor sends the whole run, weeks of it.
		query: "no_colors=&lines=2000", text: true, patience: readingLog}
	text, err := l.do(ctx, q)
	if Is(err, Failed) || Is(err, NotFound) || Is(err, Rejected) {
		// Nothing of this run yet, or a Supervisor that does not know of runs.
		q.path = q.path[:len(q.path)-1]
		text, err = l.do(ctx, q)
	}
	if err != nil {
		return "", err
	}
	return strings.ToValidUTF8(string(l.keeper.ScrubBytes(text)), "?"), nil
}

// Repository is a store that apps are installed from.
type Repository struct {
	Source string `json:"source"` // the address that a person has entered, with #branch where there is one
}

// Repository reads one of the stores; kind NotFound if Supervisor has none of this slug.
func (a Apps) Repository(ctx context.Context, slug string) (Repository, error) {
	return read[Repository](ctx, a.line, "reading the store "+slug, nil, "store", "repositories", slug)
}

// WhyAway gives the reason for evidence.Evidence.SupervisorAway: "" unless err says
// that Supervisor could not be asked, or refused our token: nothing is known then.
func WhyAway(err error) string {
	if e, ok := errors.AsType[*Error](err); ok && (e.Kind == Away || e.Kind == Unauthorised || e.Kind == Unexpected) {
		return e.Message
	}
	return ""
}
