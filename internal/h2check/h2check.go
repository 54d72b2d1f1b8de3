// Package h2check asks over HTTP/2, frame by frame: the same request in two shapes, which a
// server that mishandles an empty DATA frame answers differently. It is what `tunnelmedic
// doctor --http2` shows.
package h2check

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"tunnelmedic/internal/doctor"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/probe"
	"tunnelmedic/internal/survey"
)

// sideBySide is how many requests are under way at once: few enough not to look like
// an attack, enough for a count of a hundred to end soon.
const sideBySide = 4

// Tally is how the requests of one shape went.
type Tally struct {
	Shape    Shape       `json:"shape"`
	Tried    int         `json:"tried"`
	Answered int         `json:"answered"`
	TimedOut int         `json:"timed_out"`
	Reset    int         `json:"reset"`
	Ended    int         `json:"ended"` // the connection, before the answer
	Other    int         `json:"other"`
	Statuses map[int]int `json:"statuses"`
	Low      float64     `json:"failing_low"`  // the share that fails, 95 %: from here
	High     float64     `json:"failing_high"` // to here
	Curl     string      `json:"curl,omitempty"`
	First    *Look       `json:"first,omitempty"`
	Failed   *Look       `json:"first_failed,omitempty"`
}

// Failures is how many requests that reached the server were not answered.
func (t Tally) Failures() int { return t.TimedOut + t.Reset + t.Ended + t.Other }

// asked is how many requests reached the server.
func (t Tally) asked() int { return t.Answered + t.Failures() }

// Report is the look over HTTP/2.
type Report struct {
	At      time.Time     `json:"at"`
	Took    time.Duration `json:"took_ns"`
	URL     string        `json:"url"`
	Notes   []string      `json:"notes,omitempty"`
	Tallies []Tally       `json:"shapes"`
	Said    []string      `json:"said"`
	Code    int           `json:"exit_code"`
}

// Examine puts the same request onto HTTP/2 connections in two shapes, count
// times each. done is told each try as it ends, one at a time; it may be nil.
func Examine(ctx context.Context, p doctor.Place, path string, count int, done func(Look)) Report {
	way := survey.Way{World: p.Looks.World}
	t := way.Where(ctx, p.Public)
	t.Timeout = doctor.Bounded(t)
	r := Report{At: time.Now(), URL: t.URL.String() + path, Notes: p.Notes}
	shapes := []Shape{HeadersAlone, EmptyData}
	tallies := []Tally{{Shape: shapes[0]}, {Shape: shapes[1]}}
	var mu sync.Mutex // guards tallies, and done
	var wg sync.WaitGroup
	turn := make(chan struct{}, sideBySide)
	for i := range 2 * count { // in turn, so that a change on the way there hits both alike
		turn <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-turn }()
			l := Ask(ctx, t, shapes[i%2], path)
			mu.Lock()
			defer mu.Unlock()
			tallies[i%2].add(l)
			if done != nil {
				done(l)
			}
		})
	}
	wg.Wait()
	for i := range tallies {
		tallies[i].conclude(t, path)
	}
	r.Tallies, r.Took = tallies, time.Since(r.At)
	r.say()
	return r
}

func (t *Tally) add(l Look) {
	if l.Trouble == evidence.Interrupted {
		return
	}
	if t.Statuses == nil {
		t.Statuses = map[int]int{}
	}
	t.Tried++
	//exhaustive:ignore
	switch l.Outcome {
	case Replied:
		t.Answered++
		t.Statuses[l.Status]++
	case Silent:
		t.TimedOut++
	case Reset:
		t.Reset++
	case GoneAway:
		t.Ended++
	case Broken:
		t.Other++
	}
	if t.First == nil {
		t.First = &l
	}
	if l.Failed() && t.Failed == nil {
		t.Failed = &l
	}
}

func (t *Tally) conclude(target probe.Target, path string) {
	if n := t.asked(); n > 0 {
		t.Low, t.High = Wilson(t.Failures(), n)
	}
	if t.Failures() > 0 {
		t.Curl = curl(target, t.Shape, path)
	}
}

// say puts the tallies into sentences, and the exit code.
func (r *Report) say() {
	asked, failed := 0, 0
	for _, t := range r.Tallies {
		n := t.asked()
		asked, failed = asked+n, failed+t.Failures()
		switch {
		case t.Tried == 0:
			continue
		case n == 0:
			r.Said = append(r.Said, fmt.Sprintf("%s: could not be asked (%s).", t.Shape, t.why()))
		case t.Failures() == 0:
			r.Said = append(r.Said, fmt.Sprintf("%s: all %d answered; at most %.0f %% of this shape fail (95 %% confidence).", t.Shape, n, math.Ceil(100*t.High)))
		default:
			r.Said = append(r.Said, fmt.Sprintf("%s: %d of %d failed, %s; between %.0f %% and %.0f %% of this shape fail (95 %% confidence).", t.Shape, t.Failures(), n, oneIn(t.Failures(), n), 100*t.Low, 100*t.High))
		}
	}
	a, b := r.Tallies[0], r.Tallies[1]
	switch {
	case a.asked() == 0 || b.asked() == 0:
	case unlikely > chance(b.Failures(), b.asked(), a.Failures(), a.asked()):
		r.Said = append(r.Said, "The two shapes are the same request (RFC 9113 §8.1), yet the one with an empty DATA frame fails more often: something on the way there mishandles it.")
	case unlikely > chance(a.Failures(), a.asked(), b.Failures(), b.asked()):
		r.Said = append(r.Said, "The two shapes are the same request, yet the one that ends with its HEADERS fails more often.")
	case failed > 0:
		r.Said = append(r.Said, "These numbers do not tell the two shapes apart; --count with a larger number would.")
	}
	switch {
	case asked == 0:
		r.Code = doctor.CantTell
	case failed > 0:
		r.Code = doctor.Ill
	}
}

func (t Tally) why() string {
	if t.First == nil {
		return "interrupted"
	}
	return strings.TrimSuffix(t.First.Outcome.String()+": "+t.First.Detail, ": ")
}

// oneIn says a share the way people do.
func oneIn(k, n int) string {
	if k == n {
		return "every one"
	}
	return fmt.Sprintf("about one in %.0f", math.Round(float64(n)/float64(k)))
}

// unlikely is how improbable mere chance must be before the shapes are said to differ.
const unlikely = 0.025

// chance gives the probability that k1 or more of all failures fall to the n1
// requests of one shape if the shape made no difference (Fisher's exact test,
// one-sided); k2 of n2 are the other shape's.
func chance(k1, n1, k2, n2 int) float64 {
	ways := func(n, k int) *big.Int { return new(big.Int).Binomial(int64(n), int64(k)) }
	these := new(big.Int)
	for k := k1; k <= min(n1, k1+k2); k++ {
		these.Add(these, new(big.Int).Mul(ways(n1, k), ways(n2, k1+k2-k)))
	}
	p, _ := new(big.Rat).SetFrac(these, ways(n1+n2, k1+k2)).Float64()
	return p
}

// Wilson gives the 95 % confidence interval of a share of which k of n were seen
// (E. B. Wilson, 1927). It holds for small numbers and at the ends, too.
func Wilson(k, n int) (low, high float64) {
	const z = 1.959964
	if n <= 0 {
		return 0, 1
	}
	p, m := float64(k)/float64(n), float64(n)
	middle := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return max(0, middle-half), min(1, middle+half)
}

// Write lays the report out for a terminal.
func (r Report) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s over HTTP/2, %s, %.1f s\n", r.URL, r.At.Format("2006-01-02 15:04:05"), r.Took.Seconds())
	for _, n := range r.Notes {
		fmt.Fprintln(&b, n)
	}
	for _, t := range r.Tallies {
		for _, l := range []*Look{t.First, t.Failed} {
			if l == nil || l == t.Failed && t.First != nil && t.First.Failed() {
				continue
			}
			which := "the first"
			if l == t.Failed {
				which = "the first that failed"
			}
			fmt.Fprintf(&b, "\n%s, %s: %s\n", t.Shape, which, strings.Join(slices.DeleteFunc([]string{l.Outcome.String(), l.Code, l.Addr}, func(s string) bool { return s == "" }), ", "))
			frames(&b, l.Frames)
		}
	}
	fmt.Fprintf(&b, "\n%-22s %6s %9s %10s %6s %6s %6s   %s\n", "shape", "tried", "answered", "timed out", "reset", "ended", "other", "share failing, 95 %")
	for _, t := range r.Tallies {
		share := "–"
		if t.asked() > 0 {
			share = fmt.Sprintf("%.0f–%.0f %%", 100*t.Low, 100*t.High)
		}
		fmt.Fprintf(&b, "%-22s %6d %9d %10d %6d %6d %6d   %s\n", t.Shape, t.Tried, t.Answered, t.TimedOut, t.Reset, t.Ended, t.Other, share)
	}
	b.WriteByte('\n')
	for _, s := range r.Said {
		fmt.Fprintln(&b, s)
	}
	var list []string
	for _, t := range r.Tallies {
		if t.Curl != "" {
			list = append(list, t.Curl)
		}
	}
	doctor.WriteCurls(&b, list)
	_, err := io.WriteString(w, b.String())
	return err
}

func frames(b *strings.Builder, list []Frame) {
	for _, f := range list {
		arrow := "←"
		if f.Ours {
			arrow = "→"
		}
		fmt.Fprintf(b, "  %7.1f ms %s %s\n", float64(f.At.Microseconds())/1000, arrow, f.Text)
	}
}

// curl writes a request over HTTP/2 as a command. curl ends the stream with
// HEADERS for a plain GET, and with an empty DATA frame where it reads a body from an
// empty input.
func curl(t probe.Target, shape Shape, path string) string {
	version := "--http2"
	if t.URL.Scheme == "http" {
		version = "--http2-prior-knowledge"
	}
	args := append([]string{"curl", "-sS", "-v", "-o /dev/null", version, "--max-time 10"}, doctor.SharedCurl(t)...)
	if shape == EmptyData {
		args = append(args, "-X GET", "-T -", "-H 'Expect:'")
		return strings.Join(append(args, doctor.Quoted(t.URL, path), "< /dev/null"), " ")
	}
	return strings.Join(append(args, doctor.Quoted(t.URL, path)), " ")
}
