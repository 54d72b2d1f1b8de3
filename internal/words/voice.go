package words

import (
	"cmp"
	"strconv"
	"strings"
	"sync/atomic"
)

// Tags are the languages that the program speaks.
var Tags = []string{"en", "de", "fr", "nl", "es"}

// In gives the language with a tag such as "de" or "de-CH", nil where it is not spoken.
func In(tag string) *Lang {
	base, _, _ := strings.Cut(strings.ToLower(tag), "-")
	if language, ok := spoken[base]; ok {
		return language()
	}
	return nil
}

// Accepted gives the one of a browser's languages that it likes best of those that are spoken, by its
// header Accept-Language (RFC 9110, 12.5.4); nil if none is.
func Accepted(header string) (best *Lang) {
	most := 0.0
	for part := range strings.SplitSeq(header, ",") {
		tag, rest, _ := strings.Cut(strings.TrimSpace(part), ";")
		quality := 1.0
		if q, ok := strings.CutPrefix(strings.TrimSpace(rest), "q="); ok {
			quality, _ = strconv.ParseFloat(q, 64)
		}
		if quality <= most {
			continue // it need not even be read
		}
		if l := In(tag); l != nil {
			best, most = l, quality
		}
	}
	return best
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
