package house_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/house"
)

// calls counts what the daemon asks of Supervisor.
type calls struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *calls) tap(req *http.Request, effect func()) {
	path := req.URL.Path
	if strings.HasPrefix(path, "/core/api/states/") {
		path = "/core/api/states/…"
	}
	c.mu.Lock()
	c.n[req.Method+" "+path]++
	c.mu.Unlock()
	effect()
}

func (c *calls) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n = map[string]int{}
}

// total gives all calls, and a line for each kind of them.
func (c *calls) total() (all int, lines string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, call := range slices.SortedFunc(maps.Keys(c.n), func(a, b string) int { return c.n[b] - c.n[a] }) {
		all += c.n[call]
		lines += fmt.Sprintf("\n%5d  %s", c.n[call], call)
	}
	return all, lines
}

// Without a broker the sensors are states of Core's, which are sent only when they change.
func TestAQuietHourAsksSupervisorSeldom(t *testing.T) {
	asked := &calls{n: map[string]int{}}
	house.Run(t, lab.Options{Tap: asked.tap}, nil, func(h *house.House) {
		h.Sleep(10 * time.Minute)
		asked.reset()
		h.Sleep(time.Hour)
		all, lines := asked.total()
		h.Logf("%d calls in a quiet hour:%s", all, lines)
		if all > 130 {
			h.Errorf("%d calls in a quiet hour, 130 at most:%s", all, lines)
		}
	})
}
