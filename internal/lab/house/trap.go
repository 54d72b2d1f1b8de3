package house

import (
	"net/http"
	"strings"
	"sync/atomic"
)

// Trap lets a story strike at one call of Supervisor's API. Its Spring is a [lab.Options.Tap];
// the world serves calls in goroutines of its own, so what is set goes through an atomic.
type Trap struct{ set atomic.Pointer[snare] }

type snare struct {
	path   string
	after  bool
	strike func() bool
}

// Set waits for the next POST whose path ends so, and strikes after it took effect or
// instead of its effect.
func (t *Trap) Set(path string, after bool, strike func() bool) {
	t.set.Store(&snare{path, after, strike})
}

// Clear forgets what was set.
func (t *Trap) Clear() { t.set.Store(nil) }

// Spring strikes where this is the call that is waited for.
func (t *Trap) Spring(req *http.Request, effect func()) {
	s := t.set.Load()
	if s == nil || req.Method != http.MethodPost || !strings.HasSuffix(req.URL.Path, s.path) || !t.set.CompareAndSwap(s, nil) {
		effect()
		return
	}
	if s.after {
		effect()
	}
	s.strike()
}
