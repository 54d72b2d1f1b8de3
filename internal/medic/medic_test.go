package medic

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
)

func overQUIC(over evidence.Transport) bool { return over == evidence.OverQUIC }

func TestAHealthyHomeIsLookedAtAndLeftAlone(t *testing.T) {
	bubble(t, func(t *testing.T, h *home) {
		p := start(t, h, nil, "")
		time.Sleep(time.Hour)
		p.stop(t)
		if n := h.seen(); n < 30 || n > 33 {
			t.Error(n, "looks in an hour")
		}
		if acts := h.acts(); len(acts) > 0 {
			t.Error("it did", acts)
		}
		s := p.Status()
		if s.State != policy.Healthy || s.Target.Slug != ours || s.Target.URL != "https://ha.example.com" || s.Protocol.Transport != "quic" || !s.Healthy() {
			t.Errorf("%+v", s)
		}
	})
}

// The arrows in order: seen, told, intended on disk, written, restarted, proven, told.
func TestARoundGoesAlongItsArrowsInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, h *home) {
		var p *program
		h.hook = func(call string) {
			in := p.journal.Record().Intention
			if in == nil || in.Slug != ours || in.To != evidence.HTTP2 {
				t.Errorf("before the %s the disk has the intention %+v", call, in)
			}
			if kinds := p.kinds(); len(kinds) == 0 || !slices.Contains(kinds, policy.StepAlarm) {
				t.Errorf("before the %s people were told %v", call, kinds)
			}
		}
		p = start(t, h, nil, "")
		p.until(t, "it is healthy", 5*time.Minute, p.phase(policy.Healthy))
		h.set(func() { h.broken = overQUIC })
		p.until(t, "it is healed", 10*time.Minute, func() bool { return h.protocol(ours) == evidence.HTTP2 && p.Status().State == policy.Healthy })
		if acts := h.acts(); len(acts) != 2 || acts[0] != "write" || acts[1] != "restart" {
			t.Error("it did", acts)
		}
		want := []policy.StepKind{policy.StepSuspected, policy.StepAlarm, policy.StepTrial, policy.StepSettled, policy.StepCured}
		if kinds := p.kinds(); !slices.Equal(kinds, want) {
			t.Errorf("people were told %v, not %v", kinds, want)
		}
		p.stop(t)
		rec := p.journal.Record()
		if rec.Intention != nil || rec.Policy.Set != evidence.HTTP2 || rec.Policy.Own.Effective() != evidence.Auto {
			t.Errorf("the journal has %+v, %+v", rec.Intention, rec.Policy.Setting)
		}
		list := p.journal.Incidents()
		if len(list) != 1 || list[0].Outcome != policy.StepCured || list[0].App != ours || len(list[0].Account.Changes) != 1 {
			t.Errorf("the incidents: %+v", list)
		}
	})
}

// A power cut at any moment of a change: the next run takes up what it finds, and nothing
// stays that is neither the user's own nor proven.
func TestACutBetweenAnyTwoArrowsIsTakenUp(t *testing.T) {
	for _, at := range []string{"before the write", "after the write", "before the restart", "after the restart", "amid the proof"} {
		t.Run(at, func(t *testing.T) {
			bubble(t, func(t *testing.T, h *home) {
				var first *program
				var dir string
				var gone atomic.Bool
				cut := func() {
					if dir == "" {
						dir = copied(t, first.dir)
						gone.Store(true)
						h.set(func() { h.run = 2 }) // nothing that the first run does from here on counts
						first.end()
					}
				}
				before := map[string]string{"write": "before the write", "restart": "before the restart"}
				h.hook = func(call string) {
					if before[call] == at || call == "restart" && at == "after the write" {
						cut()
					}
				}
				h.look = func() {
					if acts := h.acts(); len(acts) == 2 && (at == "after the restart" || at == "amid the proof" && h.seen()%5 == 0) {
						cut()
					}
				}
				first = start(t, h, nil, "")
				first.until(t, "it is healthy", 5*time.Minute, first.phase(policy.Healthy))
				h.set(func() { h.broken = overQUIC })
				first.until(t, "the cut", 10*time.Minute, gone.Load)
				<-first.ended
				h.set(func() { h.hook, h.look, h.run = nil, nil, 1 })
				second := start(t, h, nil, dir)
				second.until(t, "it is healed", 20*time.Minute, func() bool { return h.protocol(ours) == evidence.HTTP2 && second.Status().State == policy.Healthy })
				if n := h.count("restart") + h.count("start"); n != 1 {
					t.Errorf("the household was cut off %d times: %v", n, h.acts())
				}
				if in := second.journal.Record().Intention; in != nil {
					t.Errorf("the intention is open: %+v", in)
				}
				second.stop(t)
			})
		})
	}
}

// Between the way back and the end of the program lie three seconds: the unproven change is
// put back, and the next run finds nothing to do.
func TestAStopAmidATreatmentPutsTheOwnSettingBack(t *testing.T) {
	bubble(t, func(t *testing.T, h *home) {
		p := start(t, h, nil, "")
		p.until(t, "it is healthy", 5*time.Minute, p.phase(policy.Healthy))
		h.set(func() { h.broken = func(evidence.Transport) bool { return true } })
		p.until(t, "a trial is settled", 10*time.Minute, func() bool { s := p.Status(); return s.Trial != nil && s.Trial.Settled })
		begun := time.Now()
		p.stop(t)
		if took := time.Since(begun); took > 4*time.Second {
			t.Error("it took", took)
		}
		if got := h.protocol(ours); got.Effective() != evidence.Auto {
			t.Error("it left", got)
		}
		if acts := h.acts(); acts[len(acts)-1] != "restart" {
			t.Error("what was put back does not run:", acts)
		}
		h.set(func() { h.broken = func(evidence.Transport) bool { return false } })
		again := start(t, h, nil, p.dir)
		again.until(t, "it is healthy", 10*time.Minute, again.phase(policy.Healthy))
		if in := again.journal.Record().Intention; in != nil || h.protocol(ours).Effective() != evidence.Auto {
			t.Errorf("after the next start: %+v over %s", in, h.protocol(ours))
		}
		again.stop(t)
	})
}

// With Supervisor away watching goes on; nothing is done until it is back.
func TestSupervisorAwayKeepsItFromActingNotFromWatching(t *testing.T) {
	bubble(t, func(t *testing.T, h *home) {
		p := start(t, h, nil, "")
		p.until(t, "it is healthy", 5*time.Minute, p.phase(policy.Healthy))
		h.set(func() { h.away, h.broken = true, overQUIC })
		before := h.seen()
		time.Sleep(15 * time.Minute)
		if n := h.seen() - before; n < 10 {
			t.Error("looked", n, "times in a quarter of an hour")
		}
		if acts := h.acts(); len(acts) > 0 || p.Status().Blind != "" {
			t.Errorf("it did %v, and is %q", acts, p.Status().Blind)
		}
		h.set(func() { h.away = false })
		p.until(t, "it is healed", 40*time.Minute, func() bool { return h.protocol(ours) == evidence.HTTP2 })
		p.stop(t)
	})
}

// At a start with Supervisor away there is nothing to look at: that is told, and it is
// looked for every half minute.
func TestAStartWithoutSupervisorFindsTheAppWhenItComes(t *testing.T) {
	bubble(t, func(t *testing.T, h *home) {
		h.away = true
		p := start(t, h, nil, "")
		p.until(t, "it is blind", time.Minute, p.phase(policy.Blind))
		if s := p.Status(); s.Why.Key != "blind.error" || h.seen() > 0 {
			t.Errorf("it says %+v, and looked %d times", s.Why, h.seen())
		}
		h.set(func() { h.away = false })
		p.until(t, "it is healthy", time.Minute, p.phase(policy.Healthy))
		if slug, c := p.Watched(); slug.Slug != ours || c == nil {
			t.Error("others are told of", slug)
		}
		p.stop(t)
	})
}

// A fault of the program's own in a round ends neither the loop nor what is under way.
func TestAFaultOfItsOwnIsOutlived(t *testing.T) {
	bubble(t, func(t *testing.T, h *home) {
		faults := 0
		h.look = func() {
			if acts := h.acts(); len(acts) == 2 && faults < 3 {
				faults++
				panic("index out of range")
			}
		}
		p := start(t, h, nil, "")
		p.until(t, "it is healthy", 5*time.Minute, p.phase(policy.Healthy))
		h.set(func() { h.broken = overQUIC })
		p.until(t, "it is healed", 10*time.Minute, func() bool { return h.protocol(ours) == evidence.HTTP2 && p.Status().State == policy.Healthy })
		if faults != 3 {
			t.Error(faults, "faults")
		}
		p.stop(t)
	})
}

// A loop that hangs goes silent; one that waits for a slow connector does not.
func TestTheSignOfLifeStopsOnlyWithTheLoop(t *testing.T) {
	bubble(t, func(t *testing.T, h *home) {
		hang := make(chan struct{})
		p := start(t, h, nil, "")
		p.until(t, "it is healthy", 5*time.Minute, p.phase(policy.Healthy))
		for range 6 {
			time.Sleep(10 * time.Minute)
			if !p.Alive(time.Now()) {
				t.Fatal("it counts as hung while all is well")
			}
		}
		h.set(func() { h.look = func() { <-hang } })
		time.Sleep(25 * time.Minute)
		if p.Alive(time.Now()) {
			t.Error("a loop that hangs counts as alive")
		}
		close(hang)
		p.stop(t)
	})
}

// The app is replaced by another one while all is well: the next search finds it, and what
// was known of the old one stays with that.
func TestAnAppThatIsReplacedIsFollowed(t *testing.T) {
	bubble(t, func(t *testing.T, h *home) {
		p := start(t, h, nil, "")
		p.until(t, "it is healthy", 5*time.Minute, p.phase(policy.Healthy))
		h.set(func() { h.install(other) })
		h.remove(ours)
		p.until(t, "the other one is watched", 15*time.Minute, func() bool { return p.Status().Target.Slug == other && p.Status().State == policy.Healthy })
		if kinds := p.kinds(); !slices.Contains(kinds, policy.StepUser) {
			t.Error("people were told", kinds)
		}
		rec := p.journal.Record()
		if rec.Slug != other || !rec.Elsewhere[ours].OwnKnown {
			t.Errorf("the journal is about %s, and has %+v", rec.Slug, rec.Elsewhere)
		}
		h.remove(other)
		p.until(t, "nothing is watched", 15*time.Minute, p.phase(policy.Blind))
		if slug, c := p.Watched(); slug.Slug != "" || c != nil {
			t.Error("others are told of", slug)
		}
		p.stop(t)
	})
}

// Another app takes over amid a treatment: what is unproven on the old one is put back
// before anything else is done.
func TestAMoveAmidATreatmentLeavesTheOldAppInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, h *home) {
		p := start(t, h, nil, "", func(s *Settings) { s.Wish.Slug = "" })
		p.until(t, "it is healthy", 5*time.Minute, p.phase(policy.Healthy))
		h.set(func() { h.broken = func(evidence.Transport) bool { return true } })
		p.until(t, "a trial is settled", 10*time.Minute, func() bool { s := p.Status(); return s.Trial != nil && s.Trial.Settled })
		p.end() // the user names the other one in the options, which restarts the program; cut off, it puts nothing back
		h.set(func() { h.run, h.broken = 9, func(evidence.Transport) bool { return false }; h.install(other) })
		<-p.ended
		if got := h.protocol(ours); got.Effective() == evidence.Auto {
			t.Fatal("nothing unproven was left")
		}
		again := start(t, h, nil, p.dir, func(s *Settings) { s.Wish.Slug = other })
		again.until(t, "the other one is watched", 15*time.Minute, func() bool { return again.Status().Target.Slug == other && again.Status().State == policy.Healthy })
		if got := h.protocol(ours); got.Effective() != evidence.Auto {
			t.Error("the old one was left with", got)
		}
		if in := again.journal.Record().Intention; in != nil {
			t.Errorf("the intention is open: %+v", in)
		}
		again.stop(t)
	})
}

// A wish is answered in every state, soon, and none makes the state something that the
// wish does not ask for.
func TestAWishIsAnsweredInEveryState(t *testing.T) {
	all := func(evidence.Transport) bool { return true }
	for _, at := range []struct {
		name string
		make func(h *home)
		is   policy.Phase
		try  bool // a trial by hand begins
	}{
		{"healthy", func(*home) {}, policy.Healthy, true},
		{"treating", func(h *home) { h.broken = all }, policy.Treating, false},
		{"holding", func(h *home) { h.broken = all }, policy.Holding, true},
		{"blind", func(h *home) { delete(h.apps, ours) }, policy.Blind, false},
	} {
		t.Run(at.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, h *home) {
				p := start(t, h, nil, "")
				p.until(t, "it is healthy", 5*time.Minute, p.phase(policy.Healthy))
				h.set(func() { at.make(h) })
				p.until(t, "it is "+at.name, time.Hour, p.phase(at.is))
				begun := time.Now()
				if err := p.Try(t.Context(), evidence.HTTP2); (err == nil) != at.try {
					t.Error("a trial by hand:", err)
				}
				if err := p.Pause(t.Context(), time.Hour); err != nil {
					t.Error("a pause:", err)
				}
				if s := p.Status(); s.PausedUntil.IsZero() {
					t.Error("it does not pause:", s.State)
				}
				if err := p.Resume(t.Context()); err != nil {
					t.Error("the end of the pause:", err)
				}
				if s := p.Status(); !s.PausedUntil.IsZero() {
					t.Error("it pauses still")
				}
				if err := p.SwitchOff(t.Context()); err != nil {
					t.Error("the end of acting:", err)
				}
				if err := p.Answer(t.Context(), "none", true); err == nil {
					t.Error("a question that nobody asked was answered")
				}
				if took := time.Since(begun); took > 3*time.Minute {
					t.Error("the answers took", took)
				}
				p.stop(t)
			})
		})
	}
}

// Somebody who has left begins no trial, and no more wishes wait than anybody has in earnest.
func TestWishesOfWhoHasLeftAndOfTooMany(t *testing.T) {
	bubble(t, func(t *testing.T, h *home) {
		hang := make(chan struct{})
		p := start(t, h, nil, "")
		p.until(t, "it is healthy", 5*time.Minute, p.phase(policy.Healthy))
		h.set(func() { h.look = func() { <-hang } })
		time.Sleep(3 * time.Minute)
		ctx, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		if err := p.Try(ctx, evidence.HTTP2); !errors.Is(err, context.DeadlineExceeded) {
			t.Error("an answer without a look:", err)
		}
		for range maxWishes - 1 {
			go func() { _ = p.Pause(t.Context(), time.Hour) }()
		}
		synctest.Wait()
		var why policy.Refusal
		if err := p.Resume(t.Context()); !errors.As(err, &why) || why.Because != policy.TooMany {
			t.Error("one too many:", err)
		}
		close(hang)
		time.Sleep(10 * time.Minute)
		if acts := h.acts(); len(acts) > 0 || p.Status().PausedUntil.IsZero() {
			t.Errorf("it did %v, and is %s", acts, p.Status().State)
		}
		p.stop(t)
	})
}

// fullDisk takes nothing while it is full.
type fullDisk struct {
	journal.Disk
	full atomic.Bool
}

func (d *fullDisk) Create(dir string) (journal.File, error) {
	if d.full.Load() {
		return nil, syscall.ENOSPC
	}
	return d.Disk.Create(dir)
}

// Without a journal nothing is changed: what cannot be noted cannot be undone. It is told,
// watching goes on, and what was seen meanwhile is not lost.
func TestWithoutAJournalItWatchesAndTells(t *testing.T) {
	bubble(t, func(t *testing.T, h *home) {
		disk := &fullDisk{Disk: unforced{journal.RealDisk()}}
		p := start(t, h, disk, "")
		p.until(t, "it is healthy", 5*time.Minute, p.phase(policy.Healthy))
		disk.full.Store(true)
		h.set(func() { h.broken = overQUIC })
		time.Sleep(20 * time.Minute)
		if acts := h.acts(); len(acts) > 0 {
			t.Error("it did", acts)
		}
		if s := p.Status(); !s.NeedsYou() || len(s.Hindered) == 0 || s.Incident == nil || !slices.Contains(s.Gates, policy.GateDisk) {
			t.Errorf("it tells %+v, %v", s.Hindered, s.Gates)
		}
		disk.full.Store(false)
		p.until(t, "it is healed", time.Hour, func() bool { return h.protocol(ours) == evidence.HTTP2 && p.Status().State == policy.Healthy })
		if s := p.Status(); len(s.Hindered) > 0 {
			t.Error("it still tells", s.Hindered)
		}
		p.stop(t)
		if list := p.journal.Incidents(); len(list) != 1 || list[0].Steps[0].Kind != policy.StepAlarm && list[0].Steps[0].Kind != policy.StepSuspected {
			t.Errorf("%+v", list)
		}
	})
}
