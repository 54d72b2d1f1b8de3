package web

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// Bounds of what the feed keeps: a week, and a steady amount of memory.
const (
	week     = 7 * day
	slotTime = 5 * time.Minute
	maxSlots = int64(week / slotTime)
	maxSpans = 2000
	maxSteps = 60
	// maxListeners is how many streams may be open. A house has fewer people.
	maxListeners = 32
)

// Feed is what the page knows beyond the present moment: the states and the probes'
// latencies of the last week, and who is listening to what comes next. Its Tell is
// for the loop; it never blocks, however slow the listeners are.
type Feed struct {
	now func() time.Time

	mu        sync.Mutex
	status    medic.Status
	spans     []span // states in order, each until the next
	slots     []slot
	steps     []Entry
	seq       uint64
	listeners map[chan struct{}]bool
	closed    bool
}

// span is a state from a time on; "" is a time in which nobody watched.
type span struct {
	At time.Time `json:"at"`
	badge
}

// badge is a state as the page names it: what is looked at closely needs a person where
// only one can mend it.
type badge struct {
	State    policy.Phase `json:"state"`
	NeedsYou bool         `json:"needs_you,omitempty"`
}

func badgeOf(s medic.Status) badge {
	return badge{s.State, s.State == policy.Suspect && s.NeedsYou()}
}

func (s badge) name() words.Text {
	if s.NeedsYou {
		return words.Of("state.needs-you")
	}
	return words.State(s.State)
}

// slot gathers the probes of five minutes.
type slot struct {
	Start  int64  `json:"t"` // in units of slotTime since 1970
	Probes uint16 `json:"n"`
	Failed uint16 `json:"f,omitempty"`
	SumMS  uint32 `json:"ms"` // of the good ones
}

// slotOf gives the Start of the slot that a moment falls into.
func slotOf(t time.Time) int64 { return t.Unix() / int64(slotTime/time.Second) }

// Entry is a step with its number in the feed.
type Entry struct {
	Seq uint64 `json:"seq"`
	policy.Step
}

// NewFeed makes a feed.
func NewFeed() *Feed { return &Feed{now: time.Now, listeners: map[chan struct{}]bool{}} }

// Tell takes what the loop publishes.
func (f *Feed) Tell(s medic.Status, steps []policy.Step) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if p := s.LastProbe; p != nil && (f.status.LastProbe == nil || !f.status.LastProbe.At.Equal(p.At)) {
		f.count(*p)
	}
	if n := len(f.spans); n == 0 || f.spans[n-1].badge != badgeOf(s) {
		f.spans = append(f.spans, span{now, badgeOf(s)})
		f.prune(now)
	}
	for _, step := range steps {
		f.seq++
		f.steps = append(f.steps, Entry{f.seq, step})
	}
	if n := len(f.steps); n > maxSteps {
		f.steps = slices.Delete(f.steps, 0, n-maxSteps)
	}
	f.status = s
	for l := range f.listeners {
		select {
		case l <- struct{}{}:
		default: // it has not taken up the last one yet: one look shows both
		}
	}
}

func (f *Feed) count(p medic.ProbeStatus) {
	start := slotOf(p.At)
	at := slices.IndexFunc(f.slots, func(s slot) bool { return s.Start == start })
	if at < 0 {
		f.slots = slices.DeleteFunc(f.slots, func(s slot) bool { return max(start-s.Start, s.Start-start) >= maxSlots })
		at, f.slots = len(f.slots), append(f.slots, slot{Start: start})
	}
	s := &f.slots[at]
	if s.Probes == 1<<16-1 {
		return
	}
	s.Probes++
	if !p.OK {
		s.Failed++
		return
	}
	s.SumMS += uint32(min(max(p.TookMS, 0), 60_000))
}

// prune keeps one state from before the week, so that the week's beginning has one.
func (f *Feed) prune(now time.Time) {
	for len(f.spans) > 1 && (now.Sub(f.spans[1].At) > week || len(f.spans) > maxSpans) {
		f.spans = f.spans[1:]
	}
}

// listen gives a channel that says when there is something new; ok is false when
// too many listen already, or the program is about to end.
func (f *Feed) listen() (news chan struct{}, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || len(f.listeners) >= maxListeners {
		return nil, false
	}
	news = make(chan struct{}, 1)
	f.listeners[news] = true
	return news, true
}

func (f *Feed) leave(news chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.listeners, news)
}

// Close lets the listeners go.
func (f *Feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for l := range f.listeners {
		close(l)
	}
	clear(f.listeners)
}

// since gives the steps after a number, and the present status.
func (f *Feed) since(seq uint64) (medic.Status, []Entry, uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status, slices.DeleteFunc(slices.Clone(f.steps), func(e Entry) bool { return e.Seq <= seq }), f.seq
}

// stretch is a state between two moments.
type stretch struct {
	From, To time.Time
	badge
}

// sample is the probes of a part of the timeline.
type sample struct {
	Probes, Failed int
	MS             int // mean of the good ones; -1 if there is none
}

// maxSamples is how many parts a drawing has at most: more could not be told apart.
const maxSamples = 96

// reach gives how far back there is something to draw, at least an hour and at most the
// longest that is asked for, and into how many parts it falls.
func (f *Feed) reach(now time.Time, longest time.Duration) (back time.Duration, samples int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := now
	if len(f.spans) > 0 {
		first = f.spans[0].At
	}
	for _, s := range f.slots {
		if at := time.Unix(s.Start*int64(slotTime/time.Second), 0); at.Before(first) {
			first = at
		}
	}
	back = min(max(now.Sub(first)+slotTime, time.Hour), longest) // the slot that back begins in is not drawn
	part := ((back - 1) / maxSamples).Truncate(slotTime) + slotTime
	samples = int((back + part - 1) / part)
	return part * time.Duration(samples), samples
}

// look gives the timeline of the time before now, its probes in so many samples.
func (f *Feed) look(now time.Time, back time.Duration, samples int) ([]stretch, []sample) {
	f.mu.Lock()
	defer f.mu.Unlock()
	from := now.Add(-back)
	var states []stretch
	for i, s := range f.spans {
		to := now
		if i+1 < len(f.spans) {
			to = f.spans[i+1].At
		}
		if to.After(from) && s.At.Before(now) && s.State != policy.Unwatched {
			if s.At.Before(from) {
				s.At = from
			}
			states = append(states, stretch{s.At, to, s.badge})
		}
	}
	probes := make([]sample, samples)
	sums := make([]uint64, samples)
	first := slotOf(from)
	perSample := int64(back/slotTime) / int64(samples)
	for _, s := range f.slots {
		at := (s.Start - first - 1) / perSample // the last sample is the one that runs
		if s.Start <= first || at >= int64(samples) {
			continue
		}
		probes[at].Probes += int(s.Probes)
		probes[at].Failed += int(s.Failed)
		sums[at] += uint64(s.SumMS)
	}
	for i := range probes {
		probes[i].MS = -1
		if good := probes[i].Probes - probes[i].Failed; good > 0 {
			probes[i].MS = int(sums[i] / uint64(good))
		}
	}
	return states, probes
}

// kept is the feed on the disk.
type kept struct {
	Saved time.Time `json:"saved"`
	Spans []span    `json:"spans"`
	Slots []slot    `json:"slots"`
}

const keptName = "timeline.json"

// Save writes the timeline, once, when the program ends: probes come too often for
// the memory card of a small computer. A power cut loses the timeline, and nothing
// else.
func (f *Feed) Save(dir string) error {
	f.mu.Lock()
	k := kept{Saved: f.now(), Spans: slices.Clone(f.spans), Slots: slices.Clone(f.slots)}
	f.mu.Unlock()
	if err := journal.KeepFile(dir, keptName, k); err != nil {
		return fmt.Errorf("keeping the timeline: %w", err)
	}
	return nil
}

// Load takes up what Save wrote. Whatever is not that is passed over: a timeline is
// worth no trouble.
func (f *Feed) Load(dir string) {
	var k kept
	if journal.RecallFile(dir, keptName, &k) != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if k.Saved.After(now) || len(k.Spans) > maxSpans || int64(len(k.Slots)) > 2*maxSlots || len(f.spans) > 0 {
		return
	}
	f.spans = append(k.Spans, span{At: k.Saved})
	f.prune(now)
	f.slots = slices.DeleteFunc(k.Slots, func(s slot) bool {
		return s.Start <= slotOf(now.Add(-week)) || s.Start > slotOf(now) || s.Probes < max(s.Failed, 1)
	})
}
