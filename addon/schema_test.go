package addon_test

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// optionType is one type of the schema in config.yaml, as Supervisor reads it:
// str, password, int, float with optional bounds, bool, email, url, port,
// match(regexp), list(a|b), device, each with an optional "?" at the end.
type optionType struct {
	name     string
	low      *float64
	high     *float64
	choices  []string
	pattern  *regexp.Regexp
	optional bool
}

var typeForm = regexp.MustCompile(`^([a-z]+)(?:\((.*)\))?$`)

func parseType(text string) (optionType, error) {
	var o optionType
	body, optional := strings.CutSuffix(text, "?")
	m := typeForm.FindStringSubmatch(body)
	if m == nil {
		return o, fmt.Errorf("%q is not a type of Supervisor's schema", text)
	}
	o.name, o.optional = m[1], optional
	inside, parens := m[2], strings.HasSuffix(body, ")")
	switch o.name {
	case "bool", "email", "url", "port":
		if parens {
			return o, fmt.Errorf("%q: %s takes nothing in parentheses", text, o.name)
		}
	case "str", "password", "int", "float":
		if !parens {
			return o, nil
		}
		low, high, two := strings.Cut(inside, ",")
		if !two {
			return o, fmt.Errorf("%q needs two bounds with a comma, and no space", text)
		}
		for _, b := range []struct {
			text string
			to   **float64
		}{{low, &o.low}, {high, &o.high}} {
			if b.text == "" {
				continue
			}
			n, err := strconv.ParseFloat(b.text, 64)
			if err != nil || (o.name != "float" && n != float64(int(n))) {
				return o, fmt.Errorf("%q: %q is not a bound", text, b.text)
			}
			*b.to = &n
		}
	case "match":
		p, err := regexp.Compile(inside)
		if err != nil || !parens {
			return o, fmt.Errorf("%q: not a pattern: %w", text, err)
		}
		o.pattern = p
	case "list":
		if o.choices = strings.Split(inside, "|"); slices.Contains(o.choices, "") {
			return o, fmt.Errorf("%q: a choice is empty", text)
		}
	case "device":
		if parens && !regexp.MustCompile(`^subsystem=[a-z]+$`).MatchString(inside) {
			return o, fmt.Errorf("%q: a device is filtered by subsystem=name", text)
		}
	default:
		return o, fmt.Errorf("%q: Supervisor knows no type %s", text, o.name)
	}
	return o, nil
}

// accepts judges a value as Supervisor would, as far as this project's types go.
func (o optionType) accepts(v any) error {
	text := fmt.Sprint(v)
	within := func(n float64) error {
		if (o.low != nil && n < *o.low) || (o.high != nil && n > *o.high) {
			return fmt.Errorf("%v is out of bounds", v)
		}
		return nil
	}
	switch o.name {
	case "str", "password":
		s, ok := v.(string)
		if !ok {
			return fmt.Errorf("%v is not text", v)
		}
		return within(float64(len([]rune(s))))
	case "int", "port":
		n, err := strconv.Atoi(text)
		return errors.Join(err, within(float64(n)))
	case "float":
		n, err := strconv.ParseFloat(text, 64)
		return errors.Join(err, within(n))
	case "bool":
		_, err := strconv.ParseBool(text)
		return err
	case "url":
		u, err := url.Parse(text)
		if err != nil || u.Host == "" {
			return fmt.Errorf("%q is not a URL", text)
		}
	case "match":
		if at := o.pattern.FindStringIndex(text); at == nil || at[0] != 0 {
			return fmt.Errorf("%q does not match", text)
		}
	case "list":
		if !slices.Contains(o.choices, text) {
			return fmt.Errorf("%q is none of %v", text, o.choices)
		}
	}
	return nil
}

// elementOf gives an option's type and whether it is a list of such.
func elementOf(schema any) (o optionType, many bool, err error) {
	if l, ok := schema.([]any); ok {
		if len(l) != 1 {
			return o, true, fmt.Errorf("a list in the schema holds exactly one type, this one %d", len(l))
		}
		schema, many = l[0], true
	}
	text, ok := schema.(string)
	if !ok {
		return o, many, fmt.Errorf("%v is not a type", schema)
	}
	o, err = parseType(text)
	return o, many, err
}

func TestSchemaTypesAreReadAsSupervisorReadsThem(t *testing.T) {
	for text, ok := range map[string]bool{
		"str": true, "str?": true, "str(1,)": true, "password(,64)?": true, "int(15,3600)?": true, "int(-5,5)": true, "float(.5,1)": true,
		"bool?": true, "port": true, "url?": true, "list(a|b)?": true, "list(a)": true, "match(^(a|b)?$)?": true, "match(^a$)": true, "device(subsystem=tty)": true,
		"": false, "string": false, "int(15-3600)": false, "int(15, 3600)": false, "int(a,b)": false, "list()": false, "list": false,
		"list(a|)": false, "match(()": false, "match": false, "bool(1)": false, "Str": false, "str??": false, "device(tty)": false,
	} {
		if _, err := parseType(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
	accepts := func(typ string, v any) bool {
		o, err := parseType(typ)
		if err != nil {
			t.Fatal(err)
		}
		return o.accepts(v) == nil
	}
	for _, c := range []struct {
		typ string
		v   any
		ok  bool
	}{
		{"int(1,3)", 1, true}, {"int(1,3)", 4, false}, {"int(1,3)", "x", false}, {"list(a|b)", "b", true}, {"list(a|b)", "c", false},
		{"match(^a$)", "a", true}, {"match(^a$)", "ba", false}, {"match(a)", "ba", false}, {"str(2,)", "a", false}, {"password", 5, false},
	} {
		if accepts(c.typ, c.v) != c.ok {
			t.Errorf("%s with %v: accepted is not %v", c.typ, c.v, c.ok)
		}
	}
}
