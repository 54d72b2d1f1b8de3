package seeds

import (
	"fmt"
	"slices"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/policy"
)

// rest ends all faults, lets people rest, and sees everything come to its end.
func (p *play) rest() {
	p.endFaults()
	if !p.settles() {
		return
	}
	p.staysSettled()
	p.toldIsTrue()
	p.nothingStands()
}

// endFaults ends what was to be disturbed, and waits for what people had begun.
func (p *play) endFaults() {
	p.mu.Lock()
	p.traps, p.rested = nil, true
	p.mu.Unlock()
	p.w.Supervisor.ClearInjections()
	p.w.SetFaults(lab.Faults{})
	p.disk.fail(nil, nil)
	p.disk.set(nil)
	p.leave()
	p.side.Wait()
	p.run()
	p.revive()
	t := p.people()
	failed := t.failed && !t.stopped && !t.gone
	if s := p.w.Supervisor.State(slug); failed && s == evidence.StateStopped || p.observe && s == evidence.StateError {
		p.note("a person starts what nobody else will")
		if err := p.w.User.Starts(slug); err != nil {
			p.note("refused: %v", err)
		}
	}
	p.note("faults have ended, people rest")
}

// aLook is how long one takes at most.
const aLook = 15 * time.Second

// settles waits until all is as it must be in the end, and notes how long each promise
// took; false if one was not kept in time.
func (p *play) settles() bool {
	time.Sleep(aLook) // what was begun while there were faults ends by them
	for began := time.Now(); ; {
		left, since := p.unsettled(), time.Since(began)
		if ended, err := p.h.Ended(); ended {
			p.breaks("the daemon lives", "it ended by itself: %v", err)
			return false
		}
		if len(left) == 0 {
			p.note("all is settled")
			return true
		}
		kept := true
		for _, l := range left {
			p.rests[l.promise] = since
			if since > patience(l.promise) {
				p.breaks(l.promise, "%s later %s", since.Round(time.Minute), l.seen)
				kept = false
			}
		}
		if !kept {
			return false
		}
		time.Sleep(min(max(2*time.Second, since/10), 2*time.Minute))
	}
}

// staysSettled sees that nothing more happens, but for the return to a person's own
// setting, which is made by night.
func (p *play) staysSettled() {
	restarts := p.w.Supervisor.Restarts()
	for end := time.Now().Add(lasting); time.Now().Before(end); time.Sleep(20 * time.Second) {
		if p.comingBack() { // in a home that is well it takes one restart, and it stays
			p.note("their own setting is tried again")
			restarts++
			for late := time.Now().Add(back); p.comingBack() && time.Now().Before(late); {
				time.Sleep(10 * time.Second)
			}
		}
		for _, l := range p.unsettled() {
			p.breaks(l.promise, "settled, and then %s", l.seen)
		}
	}
	if n := p.w.Supervisor.Restarts(); n != restarts {
		p.breaks("nothing is changed without a reason", "%d restarts in a home where all is well", n-restarts)
	}
}

// back is how long the return to a person's own setting may take: where connections had
// broken again and again, they must stand for ten minutes.
const back = 15 * time.Minute

// comingBack says whether a person's own setting, which a cure had replaced, is on trial
// again.
func (p *play) comingBack() bool {
	s := p.h.Status()
	return s.Trial != nil && s.Trial.Purpose == policy.Failback
}

// nothingStands sees the last words go: in a home where all is well, nothing is told for ever.
func (p *play) nothingStands() {
	if t := p.people(); t.gone || t.stopped {
		return
	}
	for end := time.Now().Add(last); ; time.Sleep(time.Minute) {
		standing := p.w.Core.Told().Notifications
		if len(standing) == 0 {
			return
		}
		if time.Now().After(end) {
			for _, n := range standing {
				p.breaks("what is told is true", "all is well, and it still says: %s: %.300s", n.Title, n.Message)
			}
			return
		}
	}
}

// knownOpen takes the longest: that a fault which hit one probe in twenty is over shows
// by 180 good ones in a row. They are made every ten seconds once an end is likely, and
// before that every two minutes: each is a line in the log of a home that gave no token.
const knownOpen = "the home is known to be open"

// patience is how long a promise may take to be kept once all faults have ended. What
// could not be done is tried again after half an hour at the latest.
func patience(promise string) time.Duration {
	if promise == knownOpen {
		return 3 * time.Hour
	}
	return time.Hour
}

// unkept is a promise that is not kept yet, with what was seen.
type unkept struct{ promise, seen string }

func not(promise, format string, args ...any) unkept {
	return unkept{promise, fmt.Sprintf(format, args...)}
}

// unsettled lists what is not yet as it must be in the end.
func (p *play) unsettled() (left []unkept) {
	t := p.people()
	rec := p.record()
	if rec.Intention != nil || rec.Policy.Trial != nil {
		left = append(left, not("every state is left", "a change is under way: intention %+v, trial %+v", rec.Intention, rec.Policy.Trial))
	}
	if t.gone {
		return left
	}
	left = append(left, p.notTheirs(t, rec.Policy)...)
	s := p.w.Supervisor.State(slug)
	if t.stopped {
		if s != evidence.StateStopped {
			left = append(left, not("what a person stopped stays stopped", "the app is %s", s))
		}
		return left
	}
	if share, n := p.w.OpenShare(), p.w.Connector.Connections(); s != evidence.StateStarted || share != 1 || n != 4 {
		left = append(left, not("the home is open again", "the app is %s with %d connections, and of the visitors %.0f %% get in", s, n, 100*share))
	}
	// What the program knows, not what a disk that was full knows of it.
	if ph := p.h.Status().State; ph != policy.Healthy {
		left = append(left, not(knownOpen, "the state is %q", ph))
	}
	return left
}

// notTheirs lists what of the options is not as people want it, and what the program
// wrongly takes for their wish.
func (p *play) notTheirs(t truth, known policy.State) (left []unkept) {
	options := p.w.Supervisor.Options(slug)
	stored := storedIn(options)
	// A cure, or what was better than it, has been proven, and gives way by night; of a damaged
	// journal that is not all that was lost.
	_, proven := known.Cures[stored.String()]
	cured := known.Failback != nil && (proven || known.Failback.Cured == stored && known.Doubt != policy.NoDoubt)
	if !slices.Contains(t.own, stored) && !cured {
		left = append(left, not("the person's protocol is kept", "%s is stored, theirs is %v", stored, t.own))
	}
	if known.OwnKnown && !slices.Contains(t.own, known.Own) {
		left = append(left, not("the person's protocol is known", "%s is taken for theirs, which is %v", known.Own, t.own))
	}
	if foreign := withoutProtocol(options); foreign != t.foreign {
		left = append(left, not("other options are not touched", "they are %s and should be %s", foreign, t.foreign))
	}
	return left
}
