package lab

import (
	"bytes"
	"strings"
	"sync"
)

// Transcript is what a daemon writes, by several hands.
type Transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *Transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *Transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// Tail is its end, as Quiet has it.
func (t *Transcript) Tail(lines int) string {
	kept := strings.SplitAfter(strings.TrimSuffix(Quiet(t.String()), "\n"), "\n")
	return strings.Join(kept[max(0, len(kept)-lines):], "")
}

// Quiet leaves out of a daemon's log what it writes at every look.
func Quiet(log string) string {
	var b strings.Builder
	for line := range strings.Lines(log) {
		if !strings.Contains(line, `"Looked."`) {
			b.WriteString(line)
		}
	}
	return b.String()
}
