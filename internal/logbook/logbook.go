// Package logbook tells the story in the log, for the person who opens the Log tab: that
// all is well, each trouble whatever its cause, each step that is taken, the end with its
// length, and a summary a day. It reads what the loop publishes and changes nothing.
package logbook

import (
	"slices"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

const (
	day = 24 * time.Hour
	// lasting is how long a trouble is looked at before it is called one: a single odd
	// answer is none.
	lasting = time.Minute
	// maxWarnings is how many are written in an hour, so that a cause that changes with every
	// look does not fill the log.
	maxWarnings = 6
)

// Book writes the log. Its Tell is for the loop alone.
type Book struct {
	log zerolog.Logger

	well   bool            // that all is well was said once
	cause  diagnosis.Cause // that was warned of
	down   time.Time       // since when that goes on; zero: nothing was warned of
	warned []time.Time     // of the last hour
	gates  []policy.Gate   // that were named

	since  time.Time // of the summary
	last   time.Time // the last check that was counted
	checks int
	failed int
	lost   time.Duration
}

// New makes a log book.
func New(log zerolog.Logger) *Book { return &Book{log: log} }

// Tell takes the present status and what led to it.
func (b *Book) Tell(s medic.Status, steps []policy.Step) {
	now := time.Now()
	b.count(s, now)
	certain := false
	for _, step := range steps {
		b.fields(b.log.Info(), s).Stringer("step", step.Kind).Msg(words.English().Step(step))
		certain = certain || step.Kind == policy.StepAlarm
	}
	b.trouble(s, now, certain)
	b.closed(s)
	b.good(s, now)
	b.summary(s, now)
}

func (b *Book) fields(e *zerolog.Event, s medic.Status) *zerolog.Event {
	e = e.Stringer("cause", s.Diagnosis.Cause).Str("protocol", s.Protocol.Setting).Str("transport", s.Protocol.Transport)
	if s.Incident != nil {
		e = e.Str("incident", s.Incident.ID)
	}
	return e
}

// trouble warns of what is wrong, once for each cause that it turns out to have.
func (b *Book) trouble(s medic.Status, now time.Time, certain bool) {
	if s.Reachable() || s.Why.Key != "" || s.Diagnosis.Since.IsZero() { // why there is nothing to watch, the loop says
		return
	}
	if !certain && (now.Sub(s.Diagnosis.Since) < lasting || s.Diagnosis.Cause == b.cause && !b.down.IsZero()) {
		return
	}
	b.warned = slices.DeleteFunc(b.warned, func(at time.Time) bool { return now.Sub(at) >= time.Hour || at.After(now) })
	if len(b.warned) >= maxWarnings {
		return
	}
	b.warned = append(b.warned, now)
	if b.down.IsZero() {
		b.down = s.Diagnosis.Since
		if !s.ShutSince.IsZero() {
			b.down = s.ShutSince
		}
	}
	b.cause = s.Diagnosis.Cause
	en := words.English()
	said := s.In(en).Diagnosis
	text := en.Say("log.trouble", words.With{"summary": said.Summary, "basis": said.Basis})
	if said.Changed != "" {
		text += " " + en.Say("notify.changed", words.With{"changes": said.Changed})
	}
	b.fields(b.log.Warn(), s).Msg(text)
}

// closed names what keeps the program from acting, when that changes.
func (b *Book) closed(s medic.Status) {
	if slices.Equal(s.Gates, b.gates) {
		return
	}
	b.gates = slices.Clone(s.Gates)
	if len(s.Gates) == 0 {
		return
	}
	en := words.English()
	b.fields(b.log.Info(), s).Interface("gates", s.Gates).Msg(en.Say("page.face.gates", words.With{"gates": words.Gates(s.Gates)}))
	for _, g := range s.Gates {
		if advice := en.Text(words.GateAdvice(g)); advice != "" {
			b.log.Info().Stringer("gate", g).Msg(advice)
		}
	}
}

// good says that all is well, the first time and after each trouble.
func (b *Book) good(s medic.Status, now time.Time) {
	p := s.LastProbe
	if !s.Healthy() || s.Incident != nil || s.Trial != nil || p == nil || !p.OK {
		return
	}
	en := words.English()
	if !b.down.IsZero() {
		b.fields(b.log.Info(), s).Msg(en.Say("log.again", words.With{"span": now.Sub(b.down), "summary": en.Cause(b.cause)}))
		b.down, b.cause = time.Time{}, diagnosis.Healthy
	}
	if !b.well {
		b.well = true
		with := words.With{"address": s.Target.URL, "took": words.Millis(p.TookMS), "transport": s.Protocol.Transport}
		key := words.Key("log.well")
		if s.Protocol.Transport == "" {
			key = "log.well.unknown"
		}
		b.fields(b.log.Info(), s).Msg(en.Say(key, with))
	}
}

// count takes a check into the day's summary.
func (b *Book) count(s medic.Status, now time.Time) {
	if b.since.IsZero() || b.since.After(now) {
		b.since = now
	}
	p := s.LastProbe
	if p == nil || !p.At.After(b.last) {
		return
	}
	if !p.OK && !b.last.IsZero() {
		b.lost += min(p.At.Sub(b.last), time.Hour) // longer is a machine that slept
	}
	b.last = p.At
	b.checks++
	if !p.OK {
		b.failed++
	}
}

// summary is written once a day.
func (b *Book) summary(s medic.Status, now time.Time) {
	if now.Sub(b.since) < day {
		return
	}
	en := words.English()
	with := words.With{"checks": words.Count{N: b.checks, Of: "count.checks"}, "failed": b.failed, "restarts": words.Count{N: s.Restarts, Of: "count.restarts"},
		"share": words.Share(max(0, 1-float64(b.lost)/float64(now.Sub(b.since))))}
	b.fields(b.log.Info(), s).Msg(en.Say("log.day", with))
	b.since, b.checks, b.failed, b.lost = now, 0, 0, 0
}
