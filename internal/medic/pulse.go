package medic

import (
	"sync/atomic"
	"time"
)

// pulse is the loop's sign of life. A treatment gives its signs too: only a loop that hangs
// goes silent.
type pulse struct{ last atomic.Int64 } // Unix time

func (p *pulse) beat(now time.Time) { p.last.Store(now.Unix()) }

// during gives signs of life while something long goes on.
func (p *pulse) during() (stop func()) {
	done := make(chan struct{})
	go func() {
		t := time.NewTicker(30 * time.Second)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case now := <-t.C:
				p.beat(now)
			}
		}
	}()
	return func() { close(done) }
}

// within says whether there was a sign of life of late.
func (p *pulse) within(late time.Duration, now time.Time) bool {
	return now.Sub(time.Unix(p.last.Load(), 0)) < late
}
