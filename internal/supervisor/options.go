package supervisor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/rs/zerolog"
)

// Options are an add-on's options, each value as the bytes that Supervisor gave, so
// that what is not touched goes back as it came. Values may be secrets: printing,
// logging and marshalling Options all keep them to themselves.
type Options map[string]json.RawMessage

// runParameters is the option in which the Cloudflared add-on takes cloudflared's flags.
const runParameters = "run_parameters"

// RunParameters gives cloudflared's extra flags in order; none when the option is
// absent. It is an error, which quotes nothing, if the option is no list of texts.
func (o Options) RunParameters() ([]string, error) {
	raw, ok := o[runParameters]
	if !ok {
		return nil, nil
	}
	var read []*string
	bad := json.Unmarshal(raw, &read) != nil || read == nil || slices.Contains(read, nil)
	if bad {
		return nil, errors.New("reading the option run_parameters: it is not a list of texts; correct it under Settings → Apps → Cloudflared → Configuration")
	}
	list := make([]string, len(read))
	for i, s := range read {
		list[i] = *s
	}
	return list, nil
}

// WithRunParameters gives a copy with these flags. An option that was absent stays
// absent if there are none, and one that holds just these keeps its bytes.
func (o Options) WithRunParameters(list []string) Options {
	changed := maps.Clone(o)
	if changed == nil {
		changed = Options{}
	}
	if now, err := o.RunParameters(); err == nil && slices.Equal(now, list) {
		return changed
	}
	if list == nil {
		list = []string{}
	}
	changed[runParameters] = plainJSON(list)
	return changed
}

// HoldsSecretReference says whether any text in the values, however deep, begins
// with "!secret ". Some Supervisors store such a reference resolved to plain text when
// it is written back, so options that hold one must not be written.
func (o Options) HoldsSecretReference() bool {
	held := false
	readable := o.texts(func(_, text string) { held = held || strings.HasPrefix(text, "!secret ") })
	return held || !readable // a value that cannot be read cannot be cleared of the suspicion
}

// Managed says whether the options make the Cloudflared app run a tunnel that is managed
// at Cloudflare: then its start script asks Cloudflare's API for nothing.
func Managed(o Options) bool { return strings.TrimSpace(o.Text("tunnel_token")) != "" }

// Text gives an option that is a text; "" if it is absent or something else.
func (o Options) Text(key string) string {
	var s string
	if json.Unmarshal(o[key], &s) != nil {
		return ""
	}
	return s
}

// Into reads an option into a value; one that is absent leaves it as it is.
func (o Options) Into(key string, into any) error {
	raw, ok := o[key]
	if !ok {
		return nil
	}
	if json.Unmarshal(raw, into) != nil {
		return fmt.Errorf("reading the option %s: its value has the wrong type", key) // the error would quote a value
	}
	return nil
}

// Equal says whether both hold the same keys with the same JSON values. Spacing, the
// order of keys within a value and the way a character is escaped do not matter;
// the way a number is written does (1 is not 1.0).
func (o Options) Equal(other Options) bool { return len(o.Differing(other)) == 0 }

// Differing names the options that are not equal, sorted, some keys left out.
func (o Options) Differing(other Options, except ...string) []string {
	var names []string
	for key, raw := range o {
		if second, ok := other[key]; !slices.Contains(except, key) && (!ok || !sameJSON(raw, second)) {
			names = append(names, key)
		}
	}
	for key := range other {
		if _, ok := o[key]; !ok && !slices.Contains(except, key) {
			names = append(names, key)
		}
	}
	slices.Sort(names)
	return names
}

// Names gives the options' names, sorted.
func (o Options) Names() []string { return slices.Sorted(maps.Keys(o)) }

// String gives the names alone.
func (o Options) String() string {
	if o == nil {
		return "options(not known)"
	}
	return "options(" + strings.Join(o.Names(), " ") + ")"
}

// Format gives the names alone, whatever the verb.
func (o Options) Format(f fmt.State, _ rune) { io.WriteString(f, o.String()) }

// MarshalZerologObject logs the names alone.
func (o Options) MarshalZerologObject(e *zerolog.Event) { e.Strs("names", o.Names()) }

// MarshalJSON refuses: options are written to Supervisor by [Client.SetOptions], and
// to no file, page or log.
func (o Options) MarshalJSON() ([]byte, error) {
	return nil, errors.New("options hold secrets and are written to Supervisor alone")
}

// body is the JSON object with every value's own bytes. encoding/json would compact
// them and escape some characters.
func (o Options) body() []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, key := range o.Names() {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(plainJSON(key))
		b.WriteByte(':')
		b.Write(o[key])
	}
	b.WriteByte('}')
	return b.Bytes()
}

// secrets gives the texts in options whose names say that they are secret.
func (o Options) secrets() (found []string) {
	o.texts(func(name, text string) {
		says := func(sign string) bool { return strings.Contains(strings.ToLower(name), sign) }
		if slices.ContainsFunc([]string{"token", "secret", "password", "credential", "_key"}, says) && !strings.HasPrefix(text, "!secret ") {
			found = append(found, text)
		}
	})
	return found
}

// texts gives each text in the values, however deep, with the name that it stands under, and says
// whether all values could be read.
func (o Options) texts(take func(name, text string)) (readable bool) {
	readable = true
	for name, raw := range o {
		var v any
		readable = json.Unmarshal(raw, &v) == nil && readable
		textsIn(name, v, take)
	}
	return readable
}

func textsIn(name string, v any, take func(name, text string)) {
	switch v := v.(type) {
	case string:
		take(name, v)
	case []any:
		for _, x := range v {
			textsIn(name, x, take)
		}
	case map[string]any:
		for k, x := range v {
			textsIn(k, x, take)
		}
	}
}

func sameJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, errX := canonical(a)
	y, errY := canonical(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// canonical writes a value one way: keys sorted, no spacing, numbers as they stand.
func canonical(raw json.RawMessage) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// plainJSON writes a text or list of texts without escaping <, > and &.
func plainJSON(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return []byte("null")
	}
	return bytes.TrimSpace(b.Bytes())
}
