package words

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Tags are the languages that the program speaks.
var Tags = []string{"en", "de", "fr", "nl", "es"}

// loaded are the languages that somebody has asked for: one is some hundred kilobytes.
var loaded sync.Map // of *Lang, by tag

// In gives the language with a tag such as "de" or "de-CH", nil where it is not spoken.
func In(tag string) *Lang {
	base, _, _ := strings.Cut(strings.ToLower(tag), "-")
	if base == "en" {
		return English()
	}
	if !slices.Contains(Tags, base) {
		return nil
	}
	if l, ok := loaded.Load(base); ok {
		return l.(*Lang)
	}
	l, err := load(base)
	if err != nil {
		panic(err) // it is part of the program
	}
	kept, _ := loaded.LoadOrStore(base, l)
	return kept.(*Lang)
}

// Accepted gives the first of a browser's languages that is spoken, by its header
// Accept-Language (RFC 9110, 12.5.4); nil if none is.
func Accepted(header string) *Lang {
	type wish struct {
		tag     string
		quality float64
	}
	var wishes []wish
	for part := range strings.SplitSeq(header, ",") {
		if len(wishes) == 20 { // nobody reads more
			break
		}
		tag, rest, _ := strings.Cut(strings.TrimSpace(part), ";")
		quality := 1.0
		if q, ok := strings.CutPrefix(strings.TrimSpace(rest), "q="); ok {
			quality, _ = strconv.ParseFloat(q, 64)
		}
		if quality > 0 {
			wishes = append(wishes, wish{tag, quality})
		}
	}
	slices.SortStableFunc(wishes, func(a, b wish) int { return cmp.Compare(b.quality, a.quality) })
	for _, w := range wishes {
		if l := In(w.tag); l != nil {
			return l
		}
	}
	return nil
}

// Voice is the language that a household is spoken to in, which may become known, or
// another, while the program runs. The zero value speaks English.
type Voice struct{ lang atomic.Pointer[Lang] }

// Lang gives the language.
func (v *Voice) Lang() *Lang {
	if v != nil {
		if l := v.lang.Load(); l != nil {
			return l
		}
	}
	return English()
}

// Speak takes Home Assistant's language, and says whether that changes anything. English
// is spoken where that one is not.
func (v *Voice) Speak(tag string) (changed bool) {
	l := cmp.Or(In(tag), English())
	changed = l != v.Lang()
	v.lang.Store(l)
	return changed
}
