package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// member is one key of a JSON object whose order matters.
type member struct {
	key   string
	value json.RawMessage
}

// members reads a JSON object in its own order. Supervisor keeps that order too.
func members(raw json.RawMessage) ([]member, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("expected a dictionary")
	}
	var out []member
	for d.More() {
		k, err := d.Token()
		if err != nil {
			return nil, err
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, err
		}
		key := k.(string) // an object's keys are strings, or Token has failed
		if i := slices.IndexFunc(out, func(m member) bool { return m.key == key }); i >= 0 {
			out[i].value = v
			continue
		}
		out = append(out, member{key, v})
	}
	_, err := d.Token()
	return out, err
}

func object(ms []member) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range ms {
		if i > 0 {
			b.WriteByte(',')
		}
		key, _ := json.Marshal(m.key) // a string always marshals
		b.Write(key)
		b.WriteByte(':')
		_ = json.Compact(&b, m.value) // it was read as JSON
	}
	b.WriteByte('}')
	return b.Bytes()
}

// field is one line of an add-on's option schema, in Supervisor's words.
type field struct {
	key    string
	typ    string // "str", "bool?", "match(…)?"
	list   bool
	nested []field
}

func (f field) optional() bool { return f.nested == nil && strings.HasSuffix(f.typ, "?") }

// schema is an add-on's option schema; nil takes everything.
type schema struct {
	fields  []field
	name    string
	slug    string
	secrets map[string]string
	resolve bool // the bug: secrets are stored resolved
}

// cloudflaredFields follow the config of the Cloudflared app (homeassistant-apps/app-cloudflared, January 2026).
var cloudflaredFields = []field{
	{key: "external_hostname", typ: "str?"},
	{key: "additional_hosts", list: true, nested: []field{{key: "hostname", typ: "str"}, {key: "service", typ: "str"}, {key: "disableChunkedEncoding", typ: "bool?"}}},
	{key: "tunnel_name", typ: "str?"},
	{key: "catch_all_service", typ: "str?"},
	{key: "nginx_proxy_manager", typ: "bool?"},
	{key: "tunnel_token", typ: "str?"},
	{key: "post_quantum", typ: "bool?"},
	{key: "run_parameters", list: true, typ: "match(^(--edge-bind-address|--edge-ip-version|--grace-period|--ha-connections|--logfile|--loglevel|--pidfile|--protocol|--region|--retries|--tag)=.*$)?"},
	{key: "log_level", typ: "list(trace|debug|info|notice|warning|error|fatal)?"},
}

// validate gives the options as Supervisor stores them: unknown keys dropped,
// values coerced, order kept. The error has Supervisor's text, with the values
// at its end, secrets and all.
func (s *schema) validate(raw json.RawMessage) (json.RawMessage, error) {
	in, err := members(raw)
	if err != nil {
		return nil, errors.New("expected dict. Got " + pyRepr(raw))
	}
	if s == nil {
		return object(in), nil
	}
	out, err := s.fieldsOf(s.fields, in, "root")
	if err != nil {
		return nil, fmt.Errorf("%w. Got %s", err, pyRepr(raw))
	}
	return object(out), nil
}

func (s *schema) fieldsOf(fields []field, in []member, root string) ([]member, error) {
	var out []member
	for _, m := range in {
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == m.key })
		if i < 0 {
			continue
		}
		v, err := s.element(fields[i], m.value)
		if err != nil {
			return nil, err
		}
		out = append(out, member{m.key, v})
	}
	for _, f := range fields {
		if !f.optional() && !slices.ContainsFunc(out, func(m member) bool { return m.key == f.key }) {
			return nil, complain("Missing option '%s' in %s in %s (%s)", f.key, root, s.name, s.slug)
		}
	}
	return out, nil
}

func (s *schema) element(f field, raw json.RawMessage) (json.RawMessage, error) {
	if !f.list {
		return s.single(f, raw)
	}
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) != nil || string(raw) == "null" {
		return nil, complain("Invalid list for option '%s' in %s (%s)", f.key, s.name, s.slug)
	}
	out := []json.RawMessage{}
	for _, item := range items {
		var v json.RawMessage
		var err error
		if f.nested == nil {
			v, err = s.single(f, item)
		} else {
			var in []member
			if in, err = members(item); err != nil {
				return nil, complain("Invalid dict for option '%s' in %s (%s)", f.key, s.name, s.slug)
			}
			if in, err = s.fieldsOf(f.nested, in, f.key); err == nil {
				v = object(in)
			}
		}
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return json.Marshal(out)
}

// single is _single_validate of Supervisor's apps/options.py. A secret is checked as what it stands for,
// and stored as it was written, unless the release has the bug.
func (s *schema) single(f field, raw json.RawMessage) (json.RawMessage, error) {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, err
	}
	if v == nil {
		return nil, complain("Missing required option '%s' in %s (%s)", f.key, s.name, s.slug)
	}
	written, _ := v.(string)
	name, secret := strings.CutPrefix(written, "!secret ")
	if secret {
		plain, known := s.secrets[name]
		if !known {
			return nil, complain("Unknown secret '%s' in %s (%s)", name, s.name, s.slug)
		}
		v = plain
	}
	v, err := f.coerce(v)
	if err != nil {
		return nil, err
	}
	if secret && !s.resolve {
		return raw, nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err = e.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}

// coerce makes of a value what its type wants, as voluptuous does.
func (f field) coerce(v any) (any, error) {
	kind, arg, _ := strings.Cut(strings.TrimSuffix(f.typ, "?"), "(")
	arg = strings.TrimSuffix(arg, ")")
	switch kind {
	case "bool":
		if !pyBool(&v) {
			return nil, errors.New("expected boolean")
		}
		return v, nil
	case "str":
		if _, isText := v.(string); !isText {
			return nil, errors.New("expected str")
		}
		return v, nil
	}
	shown := fmt.Sprint(v) // as Python's str, for the words and numbers that come here
	words := slices.Sorted(slices.Values(strings.Split(arg, "|")))
	switch {
	case kind == "match" && !regexp.MustCompile(arg).MatchString(shown):
		return nil, errors.New("does not match regular expression " + arg)
	case kind == "list" && !slices.Contains(words, shown):
		return nil, errors.New("value must be one of ['" + strings.Join(words, "', '") + "']")
	}
	return shown, nil
}

// complaint is an error in Supervisor's words, capitals and all.
type complaint string

func (c complaint) Error() string { return string(c) }

func complain(format string, args ...any) error { return complaint(fmt.Sprintf(format, args...)) }

// pyBool makes of a value the boolean for which Supervisor's validation takes it, if it does.
func pyBool(v *any) bool {
	switch x := (*v).(type) {
	case float64:
		*v = x != 0
	case []any:
		*v = len(x) > 0
	case map[string]any:
		*v = len(x) > 0
	case string:
		word := strings.ToLower(x)
		*v = slices.Contains([]string{"1", "true", "yes", "on", "enable"}, word)
		return *v == true || slices.Contains([]string{"0", "false", "no", "off", "disable"}, word)
	}
	return true
}

// pyRepr writes JSON as Python's repr does: Supervisor's texts are made so.
func pyRepr(raw json.RawMessage) string {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return "None"
	}
	switch raw[0] {
	case '{':
		ms, err := members(raw)
		if err != nil {
			return "{}"
		}
		var parts []string
		for _, m := range ms {
			parts = append(parts, pyString(m.key)+": "+pyRepr(m.value))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case '[':
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) != nil {
			return "[]"
		}
		var parts []string
		for _, i := range items {
			parts = append(parts, pyRepr(i))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case '"':
		var s string
		_ = json.Unmarshal(raw, &s) // it was read as JSON
		return pyString(s)
	case 't':
		return "True"
	case 'f':
		return "False"
	case 'n':
		return "None"
	}
	return string(raw)
}

// pyString is Python's repr of a string: single quotes unless only they occur in it.
func pyString(s string) string {
	quoted := strconv.Quote(s) // whose escapes are Python's, as far as anybody writes them here
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		return quoted
	}
	return "'" + strings.NewReplacer(`\"`, `"`, `'`, `\'`).Replace(quoted[1:len(quoted)-1]) + "'"
}
