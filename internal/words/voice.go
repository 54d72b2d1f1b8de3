package words

import "sync/atomic"

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
