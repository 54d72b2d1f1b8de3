package mqtt

import (
	"sync"
	"time"
)

// What a person may press in a hurry, and what an automation gone wrong, or another
// client of the broker, may do in the long run. Each command becomes a probe, or a wish
// that waits for the loop.
const (
	hurry     = 5
	perOrder  = 10 * time.Second
	calmAfter = time.Minute
)

// orders bounds the commands of each topic.
type orders struct {
	mu     sync.Mutex
	credit map[string]time.Time // by topic: when it will have all its credit again
	last   time.Time            // when one was passed over
	fresh  bool                 // the first after a calm time, not said yet
}

func newOrders() *orders { return &orders{credit: map[string]time.Time{}} }

// may says whether a command may be carried out now. Only topics that were subscribed
// to come here, so that they are few.
func (o *orders) may(topic string, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	full := o.credit[topic]
	if full.Before(now) {
		full = now
	}
	if full.Sub(now) > (hurry-1)*perOrder {
		o.fresh = o.fresh || now.Sub(o.last) >= calmAfter
		o.last = now
		return false
	}
	o.credit[topic] = full.Add(perOrder)
	return true
}

// first says, once, that a new run of too many commands has begun.
func (o *orders) first() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	was := o.fresh
	o.fresh = false
	return was
}
