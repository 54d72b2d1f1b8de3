// Package words holds every sentence that people read, by key, in one file per
// language. Callers hand over what they know as values (a cause, a count, a span of
// time, a protocol), never as pieces of sentences, and no reader takes one apart.
package words

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
)

//go:embed *.json
var files embed.FS

// Key names a sentence, or a list of them.
type Key string

// With are the values that a sentence names, by the names of its placeholders. How each
// kind of value is written is decided in one place: see [Lang.Write].
type With map[string]any

// Text is a sentence that is not said yet: it can stand where a value is wanted, and is
// said in the language of the sentence around it.
type Text struct {
	Key  Key
	With With
}

// has says whether there is such a key; every language has those of a cause and a gate.
func has(key Key) bool { _, ok := English().texts[key]; return ok }

// named is the name of an enum's member as a part of a key.
func named(e fmt.Stringer) Key {
	return Key(strings.ReplaceAll(strings.ToLower(e.String()), " ", "-"))
}

// member is the text of an enum's member, whose key is put together from its name; none
// where it has no words.
func member(family Key, e fmt.Stringer) Text {
	if key := family + named(e); has(key) {
		return Text{Key: key}
	}
	return Text{}
}

// Of makes a Text.
func Of(key Key, with ...With) Text {
	t := Text{Key: key}
	if len(with) > 0 {
		t.With = with[0]
	}
	return t
}

// Lang is a language. What Lang.Say writes is one line of plain text.
type Lang struct {
	// Tag is the language as HTML and Home Assistant name it, such as "en".
	Tag   string
	texts map[Key]entry
}

// entry is a sentence in its forms for one and for more, or a list of sentences.
type entry struct {
	one, other string
	list       []string
}

// UnmarshalJSON reads a text, its forms {"one", "other"}, or a list of texts.
func (e *entry) UnmarshalJSON(raw []byte) error {
	if json.Unmarshal(raw, &e.other) == nil {
		e.one = e.other
		return nil
	}
	if json.Unmarshal(raw, &e.list) == nil {
		return nil
	}
	var forms struct {
		One   string `json:"one"`
		Other string `json:"other"`
	}
	if err := json.Unmarshal(raw, &forms); err != nil {
		return err
	}
	e.one, e.other = forms.One, forms.Other
	return nil
}

// spoken are the languages, each read when somebody first asks for it: one is some hundred kilobytes.
var spoken = func() map[string]func() *Lang {
	all := map[string]func() *Lang{}
	for _, tag := range Tags {
		all[tag] = sync.OnceValue(func() *Lang {
			l := &Lang{Tag: tag}
			raw, err := files.ReadFile(tag + ".json")
			if err == nil {
				err = json.Unmarshal(raw, &l.texts)
			}
			if err != nil {
				panic(fmt.Errorf("%s.json: %w", tag, err)) // it is part of the program
			}
			return l
		})
	}
	return all
}()

// English is the language of the log and of reports, and of whoever reads none that the
// program speaks.
func English() *Lang { return spoken["en"]() }

// Say gives a sentence with its values as Write writes them. A count chooses between the
// forms for one and for more where it is called n.
func (l *Lang) Say(key Key, with ...With) string {
	e, ok := l.texts[key]
	switch {
	case !ok && l.Tag != "en": // what the log and reports alone say
		return English().Say(key, with...)
	case !ok:
		return string(key) // a test finds it before people do
	}
	text := e.other
	if len(with) == 0 {
		return text
	}
	if n, counted := with[0]["n"]; counted && single(l.Tag, n) {
		text = e.one
	}
	return l.fill(text, with[0])
}

// List gives sentences that belong together, such as the steps of an advice.
func (l *Lang) List(key Key, with ...With) []string {
	list := append([]string(nil), l.texts[key].list...)
	for i := range list {
		if len(with) > 0 {
			list[i] = l.fill(list[i], with[0])
		}
	}
	return list
}

// Text gives a sentence that was handed over whole.
func (l *Lang) Text(t Text) string { return l.Say(t.Key, t.With) }

// Texts are several.
func (l *Lang) Texts(list []Text) []string {
	said := make([]string, len(list))
	for i, t := range list {
		said[i] = l.Text(t)
	}
	return said
}

// fill puts the values in the places of their names.
func (l *Lang) fill(text string, with With) string {
	if !strings.Contains(text, "{") {
		return text
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "{")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		name, after, closed := strings.Cut(rest, "}")
		value, given := with[name]
		if !closed || !given {
			b.WriteString("{" + name + "}") // a test finds it before people do
		} else {
			b.WriteString(l.Write(value))
		}
		text = after
	}
}
