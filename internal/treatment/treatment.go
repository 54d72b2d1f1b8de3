// Package treatment carries out one change of protocol as a transaction: the
// intention goes to disk before each step, what was written is read back, and what
// cannot be finished can be taken up again from what is really there.
//
// It decides nothing: which protocol, and what follows from the outcome, is the
// policy's.
package treatment

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/tunnel"
)

// Supervisor is what a treatment asks of the Supervisor.
type Supervisor interface {
	Info(ctx context.Context, slug string) (supervisor.Info, error)
	SetOptions(ctx context.Context, slug string, o supervisor.Options) error
	ValidateOptions(ctx context.Context, slug string, o supervisor.Options) error
	Restart(ctx context.Context, slug string) error
	Start(ctx context.Context, slug string) error
	Log(ctx context.Context, slug string) (string, error)
}

// Cloudflare is asked before a tunnel that is managed locally is stopped: the app's
// start script needs Cloudflare's API (its prepare/run.sh lists the tunnel and routes
// each host name), and ends where that does not answer.
type Cloudflare interface {
	Answers(ctx context.Context) error // nil if its API does
}

// Connector is the restarted connector.
type Connector interface {
	Inspect(ctx context.Context, now time.Time) evidence.Connector
	Process() string              // the id of the process that answered last
	Forget()                      // leaves the present process behind
	Renewed(since time.Time) bool // whether a different one answered last, started since then
}

// Diary keeps the intention.
type Diary interface {
	Intend(journal.Intention) error
}

// Treatment carries out changes, one at a time.
type Treatment struct {
	Supervisor Supervisor
	Connector  Connector
	Cloudflare Cloudflare
	Diary      Diary
	Log        zerolog.Logger
	Patience   Patience
}

// Patience is how long a treatment waits for others.
type Patience struct {
	Settle func(evidence.Protocol) time.Duration // for the connection after a restart
	Poll   time.Duration                         // between looks while waiting
	Busy   time.Duration                         // for another job of Supervisor's, or for Supervisor itself
	Late   time.Duration                         // for the effect of a call whose answer got lost
}

// DefaultPatience fits a real Supervisor and cloudflared. With auto cloudflared
// falls back to HTTP/2 after 131 s where UDP is blocked (measured; docs/FACTS.md, cloudflared).
func DefaultPatience() Patience {
	return Patience{
		Settle: func(p evidence.Protocol) time.Duration {
			if p.Effective() == evidence.Auto {
				return 150 * time.Second
			}
			return time.Minute
		},
		Poll: time.Second,
		Busy: 10 * time.Minute,
		Late: 30 * time.Second, // Supervisor asks a service on the internet about passwords, for up to 10 s
	}
}

// stopped is a treatment that ended before its last step, with the reason.
type stopped struct{ policy.Outcome }

func (s *stopped) Error() string { return s.Result.String() }

// Do carries out a change. Its From is the protocol stored as far as we know; one
// that differs is a person's doing and ends the change before it begins.
// An error means that the outcome is not known, because the context ended: the
// intention stays, and Resume takes it up.
func (t *Treatment) Do(ctx context.Context, in journal.Intention) (policy.Outcome, error) {
	return t.outcome(t.from(ctx, in, journal.Intended))
}

// Resume finishes a change that a stop or a crash interrupted, from what is really
// there.
func (t *Treatment) Resume(ctx context.Context, in journal.Intention) (policy.Outcome, error) {
	in.Ours = append(slices.Clone(in.Ours), in.To)
	if in.Stage == journal.Restarting || in.Stage == journal.Connecting {
		in.Begun = max(in.Begun, 1) // an earlier version of this program did not count
	}
	out, err := t.outcome(t.resume(ctx, &in))
	out.Sent = in.Stage == journal.Writing
	out.Restarts = max(out.Restarts, in.Begun) // one before the interruption counts though its end was not seen
	return out, err
}

func (t *Treatment) outcome(out policy.Outcome, err error) (policy.Outcome, error) {
	var s *stopped
	if errors.As(err, &s) {
		return s.Outcome, nil
	}
	return out, err
}

// resume takes from what was begun a restart that shows to have never been sent.
func (t *Treatment) resume(ctx context.Context, begun *journal.Intention) (policy.Outcome, error) {
	in := *begun
	if in.Stage == journal.Writing {
		if _, err := t.settledOn(ctx, in); err != nil {
			return policy.Outcome{}, err
		}
	}
	info, err := t.readUntilKnown(ctx, in)
	if err != nil {
		return policy.Outcome{}, err
	}
	if err := t.written(ctx, in, info); err != nil {
		return policy.Outcome{}, err
	}
	switch {
	case in.Stage == journal.Writing && t.replaced(ctx, in):
		// The disk took no further note, and the restart was made all the same.
		in.Stage, in.Begun = journal.Connecting, max(in.Begun, 1)
	case in.Stage != journal.Restarting:
		switch stopped, err := t.stopped(ctx, in, info); {
		case err != nil:
			return policy.Outcome{}, err
		case stopped && !in.StoppedByUs:
			return policy.Outcome{}, t.notRunning(ctx, in)
		}
	}
	was, err := t.restartWas(ctx, info, in)
	switch {
	case err != nil:
		return policy.Outcome{}, err
	case was == neverSent:
		in.Begun, begun.Begun = in.Begun-1, begun.Begun-1
	case was == made:
		t.Log.Info().Str("protocol", in.To.String()).Msg("Taking up an interrupted change: the restart had been done.")
		return t.from(ctx, in, journal.Connecting)
	}
	t.Log.Info().Str("protocol", in.To.String()).Msg("Taking up an interrupted change: the options were written, the restart is still to be done.")
	return t.from(ctx, in, journal.Restarting)
}

// written ends the change where something else is stored than what it was to write.
func (t *Treatment) written(ctx context.Context, in journal.Intention, info supervisor.Info) error {
	switch there, err := tunnel.ProtocolOf(info.Options); {
	case err != nil:
		return t.end(policy.UserChanged, in.From)
	case !in.Knows(there):
		return t.end(policy.UserChanged, there)
	case there != in.To: // it had not been written
		return t.leftDown(ctx, in, info, there)
	}
	return nil
}

// leftDown ends a change that had not been written. Where the one before it was being
// restarted, and left the app down, it is ours to start.
func (t *Treatment) leftDown(ctx context.Context, in journal.Intention, info supervisor.Info, there evidence.Protocol) error {
	if in.Stage == journal.Restarting && !in.StoppedByUs {
		switch stopped, err := t.stopped(ctx, in, info); {
		case err != nil:
			return err
		case stopped && t.ending(ctx, in, in.At) == tunnel.NeverBegan:
			return t.end(policy.Crashed, there)
		}
	}
	return t.end(policy.NotAvailable, there)
}

// fate is what became of a restart that was begun before an interruption.
type fate uint8

const (
	notMade   fate = iota // as far as can be seen
	neverSent             // for certain
	made
)

// restartWas says what became of the restart that was begun before the interruption.
// Supervisor carries it out without us and may be at it still: it gets its time, so that
// no household is restarted twice for one change.
func (t *Treatment) restartWas(ctx context.Context, info supervisor.Info, in journal.Intention) (was fate, err error) {
	if in.Stage != journal.Restarting {
		if in.Stage == journal.Connecting {
			was = made
		}
		return was, nil
	}
	for {
		done, silent := t.runs(ctx, info, in)
		switch {
		case done:
			return made, nil
		case !silent && t.stands(in, info):
			was = neverSent
		}
		patience := t.Patience.Late
		if silent { // the old process is gone, so the restart was done: the new one is coming up
			patience = max(patience, t.Patience.Settle(in.To))
		}
		if age := time.Since(in.At); age > patience || age < 0 {
			return was, t.heldBy(ctx, info, in, was)
		}
		if err := t.pause(ctx); err != nil {
			return was, err
		}
		if info, err = t.readUntilKnown(ctx, in); err != nil {
			return was, err
		}
	}
}

// heldBy ends the change where a person has stopped the app that a restart did not start again.
func (t *Treatment) heldBy(ctx context.Context, info supervisor.Info, in journal.Intention, was fate) error {
	if info.State != evidence.StateStopped || in.StoppedByUs || was != neverSent && t.ending(ctx, in, in.At) != tunnel.EndedBySignal {
		return nil
	}
	return t.stoppedByHand(ctx, in)
}

// stands says whether the process that a restart was to end still answers, so that the
// restart was never sent: Supervisor gives an app 10 s to end (docs/FACTS.md, Supervisor).
func (t *Treatment) stands(in journal.Intention, info supervisor.Info) bool {
	return in.Process != "" && info.State == evidence.StateStarted && time.Since(in.At) > t.Patience.Late/2
}

// runs says whether the connector verifiably runs with the new setting: as another
// process than before the restart, or over a transport that only it can have brought.
// silent says that the app runs, and that nothing of cloudflared answers yet.
func (t *Treatment) runs(ctx context.Context, info supervisor.Info, in journal.Intention) (done, silent bool) {
	if info.State != evidence.StateStarted && info.State != evidence.StateStartup {
		return false, false
	}
	now := t.Connector.Inspect(ctx, time.Now())
	if p := t.Connector.Process(); p != "" && in.Process != "" {
		return p != in.Process, now.Status == 0
	}
	return now.Transport != evidence.NoTransport && now.Transport == transportOf(in.To) && in.Before != now.Transport, now.Status == 0
}

// replaced says whether another process runs than when the change was begun, and began
// after that.
func (t *Treatment) replaced(ctx context.Context, in journal.Intention) bool {
	t.Connector.Inspect(ctx, time.Now())
	p := t.Connector.Process()
	return p != "" && in.Process != "" && p != in.Process && t.Connector.Renewed(in.At)
}

// transportOf is the transport that a protocol asks for; none where it takes either.
func transportOf(p evidence.Protocol) evidence.Transport {
	return map[evidence.Protocol]evidence.Transport{evidence.QUIC: evidence.OverQUIC, evidence.HTTP2: evidence.OverHTTP2}[p]
}

// goesBack says whether a change leads to what was proven last: nothing keeps it from being
// stored, and any connection will do.
func goesBack(in journal.Intention) bool { return in.To == in.Back }

// from takes the steps in order, beginning with one.
func (t *Treatment) from(ctx context.Context, in journal.Intention, stage journal.Stage) (policy.Outcome, error) {
	if stage == journal.Intended {
		in.Process = t.Connector.Process()
		written, err := t.write(ctx, in)
		if err != nil {
			return policy.Outcome{}, err
		}
		stage, in.Process = written, "" // the one that is to go is the one that runs then
	}
	for tries := 1; ; tries++ {
		if stage == journal.Restarting {
			t.Connector.Inspect(ctx, time.Now())
			if in.Process == "" { // taken up again, the process that is to go is the one noted at first
				in.Process = t.Connector.Process()
			}
			in.At, in.Stage = time.Now(), journal.Restarting
			if err := t.restart(ctx, &in); err != nil {
				return t.undone(ctx, in, err)
			}
		}
		_ = t.intend(in, journal.Connecting) // what is noted already leads here, too
		out, err := t.outcome(t.connect(ctx, in))
		out.Restarts = in.Begun
		if err != nil || out.Result != policy.NotRestarted {
			return out, err
		}
		// Supervisor answers 200 where Docker could not stop the container, too.
		in.Begun = max(in.Begun-1, 0)
		if tries == restartsInVain {
			t.Log.Warn().Msg("Supervisor said that it restarted the Cloudflared app, but the same process still runs.")
			return t.undone(ctx, in, t.end(policy.NotRestarted, in.To))
		}
		stage = journal.Restarting
	}
}

// restartsInVain is how often a restart is asked for that Supervisor says it made, and
// did not.
const restartsInVain = 2

// undone ends a change after which the tunnel runs on as before: then what was there
// before is stored again, unless it is the way back.
func (t *Treatment) undone(ctx context.Context, in journal.Intention, err error) (policy.Outcome, error) {
	var s *stopped
	if !errors.As(err, &s) {
		return policy.Outcome{}, err
	}
	s.Restarts = in.Begun
	if !s.Result.Untouched() || goesBack(in) || in.From == in.To {
		return policy.Outcome{}, s
	}
	in.Back = in.From
	switch err := t.putBack(ctx, in); {
	case ctx.Err() != nil:
		return policy.Outcome{}, ctx.Err()
	case err != nil:
		t.Log.Warn().Err(err).Msg("The protocol that was stored before could not be stored again yet.")
	default:
		s.Setting = in.From
	}
	return policy.Outcome{}, s
}

// write stores the new protocol and reads it back. Supervisor knows no
// preconditions, the last writer wins: so the options are read just before, and
// compared after.
func (t *Treatment) write(ctx context.Context, in journal.Intention) (journal.Stage, error) {
	read, sent := t.info, false
	for n := range 3 {
		// Noted before it is read: what lies between reading and writing can cost a
		// person's edit, and a flush to an SD card takes long.
		if err := t.intend(in, journal.Writing); err != nil && risky(in) && n == 0 {
			return "", t.end(policy.Unkept, in.From)
		}
		info, err := read(ctx, in)
		if err != nil {
			return "", err
		}
		read = t.readUntilKnown // something may have been sent by then
		there, options, err := t.mayWrite(ctx, in, info, sent)
		if err != nil {
			return "", err
		}
		if there == in.To {
			// The same protocol, restarted; or written by an earlier try whose answer got lost.
			return journal.Restarting, nil
		}
		sent = true
		if stored, err := t.writeAndRead(ctx, in, options, there); err != nil || stored {
			return journal.Restarting, err
		}
		// Somebody saved the form in between, with the protocol it had shown them. Again.
	}
	in.At = time.Now()
	if there, err := t.settledOn(ctx, in); err != nil || there == in.To {
		return journal.Restarting, err
	}
	return "", &stopped{policy.Outcome{Result: policy.NotAvailable, Setting: in.From, Sent: sent}}
}

// mayWrite gives the protocol that is stored, and the options to store, if they may be changed.
func (t *Treatment) mayWrite(ctx context.Context, in journal.Intention, info supervisor.Info, sent bool) (there evidence.Protocol, options supervisor.Options, err error) {
	halted, err := t.stopped(ctx, in, info)
	if err != nil {
		return there, nil, err
	}
	halted = halted && !in.StoppedByUs
	there, err = tunnel.ProtocolOf(info.Options)
	if err != nil {
		return there, nil, t.end(policy.UserChanged, in.From)
	}
	if err := t.foreign(ctx, in, there, halted, sent); err != nil {
		return there, nil, err
	}
	if there != in.To && info.Options.HoldsSecretReference() {
		return there, nil, t.end(policy.AtRisk, there)
	}
	if options, err = tunnel.WithProtocol(info.Options, in.To); err != nil {
		return there, nil, t.end(policy.Rejected, there)
	}
	if goesBack(in) && in.From != in.To { // the way back is stored first, whatever keeps it from being started
		return there, options, nil
	}
	return there, options, t.startable(ctx, in, options, there)
}

// foreign ends the change where a person has set the protocol that is there, or has stopped
// the app.
func (t *Treatment) foreign(ctx context.Context, in journal.Intention, there evidence.Protocol, halted, sent bool) error {
	switch {
	case !in.Knows(there):
		return t.end(policy.UserChanged, there)
	case there == in.To && in.From != in.To && !sent && !slices.Contains(in.Ours, in.To):
		// A person wrote just what was to be written: it is theirs.
		return t.end(policy.UserChanged, there)
	case halted && there == in.To:
		return t.stoppedByHand(ctx, in)
	case halted && !goesBack(in):
		return t.end(policy.UserStopped, there)
	}
	return nil
}

// writeAndRead writes the options, and says by what is read back whether they are stored.
func (t *Treatment) writeAndRead(ctx context.Context, in journal.Intention, options supervisor.Options, there evidence.Protocol) (stored bool, err error) {
	refused, err := t.send(ctx, in, options)
	if err != nil {
		return false, err
	}
	if stored, err := t.stored(ctx, in, options); err != nil || stored {
		return stored, err
	}
	if refused != nil {
		t.Log.Warn().Err(refused).Str("protocol", in.To.String()).Msg("Supervisor does not accept the setting; nothing was changed.")
		return false, t.end(policy.Rejected, there)
	}
	return false, nil
}

// send writes the options. Whatever the answer is, what counts is what is read back.
func (t *Treatment) send(ctx context.Context, in journal.Intention, options supervisor.Options) (refused, err error) {
	err = t.Supervisor.SetOptions(ctx, in.Slug, options)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err == nil, supervisor.EffectUnknown(err):
		return nil, nil
	case supervisor.Is(err, supervisor.Rejected):
		return err, nil
	}
	t.Log.Debug().Err(err).Msg("The options could not be written; looking at what is there.")
	return nil, t.pause(ctx)
}

// stored reads back whether the options are what was sent, and ends the change where a
// person has stopped the app meanwhile.
func (t *Treatment) stored(ctx context.Context, in journal.Intention, options supervisor.Options) (bool, error) {
	after, err := t.readUntilKnown(ctx, in)
	if err != nil {
		return false, err
	}
	if got, err := tunnel.ProtocolOf(after.Options); err != nil || got != in.To {
		return false, nil
	}
	switch halted, err := t.stopped(ctx, in, after); {
	case err != nil:
		return false, err
	case halted && !in.StoppedByUs:
		return false, t.stoppedByHand(ctx, in)
	}
	t.compare(options, after.Options)
	return true, nil
}

// startable ends the change before anything is stopped, where a start with these
// options could not succeed: the app would be left down. there is what is stored.
func (t *Treatment) startable(ctx context.Context, in journal.Intention, o supervisor.Options, there evidence.Protocol) error {
	err := t.Supervisor.ValidateOptions(ctx, in.Slug, o)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case supervisor.Is(err, supervisor.Rejected):
		t.Log.Warn().Err(err).Str("protocol", in.To.String()).Msg("With these options the Cloudflared app could not start; nothing was changed.")
		return t.end(policy.Rejected, there)
	case err != nil:
		t.Log.Debug().Err(err).Msg("Whether the options are valid could not be asked.")
		return t.end(policy.NotAvailable, there)
	case t.Cloudflare == nil || supervisor.Managed(o):
		return nil
	}
	if err := t.Cloudflare.Answers(ctx); ctx.Err() != nil {
		return ctx.Err()
	} else if err != nil {
		t.Log.Info().Err(err).Msg("Cloudflare's API does not answer. The Cloudflared app needs it at each start, so it is not restarted now.")
		return t.end(policy.CannotStart, there)
	}
	return nil
}

// compare tells of other options that are not as they were sent. What Supervisor has
// left out is none that a person edited: its schema no longer knows it, and the app has
// not been given it for long.
func (t *Treatment) compare(sent, stored supervisor.Options) {
	var edited, dropped []string
	for _, name := range sent.Differing(stored, "run_parameters") {
		if _, there := stored[name]; there {
			edited = append(edited, name)
		} else {
			dropped = append(dropped, name)
		}
	}
	if len(edited) > 0 {
		t.Log.Info().Strs("options", edited).Msg("Other options were edited at the same moment; they stay as edited.")
	}
	if len(dropped) > 0 {
		t.Log.Info().Strs("options", dropped).Msg("Supervisor left out options that the Cloudflared app no longer knows.")
	}
}

// restart restarts the add-on, waits while Supervisor is busy with it, and sees to
// it that it is not left stopped: Supervisor's watchdog does not rescue an add-on
// whose start failed after the stop. One that does not run is started, which cuts
// nobody off. No error says that Supervisor called it done.
func (t *Treatment) restart(ctx context.Context, in *journal.Intention) error {
	r := restarting{Treatment: t, in: in, began: time.Now(), asked: time.Now()}
	var err error
	if r.ended, err = t.ready(ctx, *in); err != nil {
		return err
	}
	t.Connector.Forget()
	for done := false; !done && err == nil; {
		done, err = r.try(ctx)
	}
	return err
}

// restarting is a restart under way.
type restarting struct {
	*Treatment
	in            *journal.Intention
	began, asked  time.Time // asked: whether it can be started; just before, for the first time
	ended         bool      // the app does not run, so it is started
	tries, waited int
}

// counts is how many restarts of the budget the next call costs.
func (r *restarting) counts() int {
	if r.ended {
		return 0
	}
	return 1
}

// try asks once, and waits or looks where that was in vain.
func (r *restarting) try(ctx context.Context) (done bool, err error) {
	refusal, err := r.ask(ctx)
	switch {
	case err != nil:
		return false, err
	case refusal == nil:
		return true, nil
	case supervisor.Is(refusal, supervisor.Busy) || supervisor.Is(refusal, supervisor.Away) && !supervisor.EffectUnknown(refusal):
		r.in.Begun -= r.counts() // nothing was done yet
		r.Log.Debug().Err(refusal).Msg("Waiting for Supervisor.")
		r.waited++
		return r.await(ctx)
	}
	r.Log.Warn().Err(refusal).Msg("The restart did not end well; looking at what is there.")
	after, err := r.aftermath(ctx, *r.in, r.began)
	if err != nil || after == anew {
		return true, err
	}
	if after == asBefore {
		r.in.Begun -= r.counts()
	}
	switch {
	case r.tries == 3 && after == asBefore:
		return false, r.end(policy.NotRestarted, r.in.To)
	case r.tries == 3:
		return false, r.end(policy.Crashed, r.in.To)
	}
	r.tries++
	r.ended = after == down
	return false, r.pause(ctx)
}

// ask asks Supervisor for the restart, or the start: noted before, within the budget, and
// only where a start can still succeed. refusal is Supervisor's.
func (r *restarting) ask(ctx context.Context) (refusal, err error) {
	if !r.ended && time.Since(r.asked) > r.Patience.Late {
		info, err := r.readUntilKnown(ctx, *r.in)
		if err == nil {
			err = r.startable(ctx, *r.in, info.Options, r.in.To)
		}
		if err != nil {
			return nil, err
		}
		r.asked = time.Now()
	}
	call := r.Supervisor.Restart
	if r.ended {
		call = r.Supervisor.Start
	} else if r.in.Most != 0 && r.in.Begun >= r.in.Most {
		return nil, r.end(policy.OverBudget, r.in.To)
	}
	r.in.Begun += r.counts()
	if err := r.intend(*r.in, journal.Restarting); err != nil && risky(*r.in) && r.tries == 0 {
		r.in.Begun -= r.counts()
		return nil, r.end(policy.Unkept, r.in.To)
	}
	refusal = call(ctx, r.in.Slug)
	return refusal, ctx.Err()
}

// ready ends the change where a start could not succeed and nobody has asked yet, and says
// whether the app has ended, so that it is started and not restarted.
func (t *Treatment) ready(ctx context.Context, in journal.Intention) (ended bool, err error) {
	ours := in.StoppedByUs || in.Purpose == policy.Revive
	if !ours && !goesBack(in) {
		return false, nil
	}
	info, err := t.readUntilKnown(ctx, in)
	if err != nil {
		return false, err
	}
	if goesBack(in) && in.From != in.To { // else it was asked before
		if err := t.startable(ctx, in, info.Options, in.To); err != nil {
			return false, err
		}
	}
	return info.State == evidence.StateError || info.State == evidence.StateStopped && ours, nil
}

// longestWait is how many looks lie between two askings for a restart while Supervisor
// is busy: each asking is a line in its log.
const longestWait = 15

// await waits while Supervisor is busy with the add-on or away, by looking, and says
// whether the job that held it has started it anew: with what is stored, so that
// nothing is left to do. As long as the add-on is shown stopped, and we have not stopped
// it, another job or a person has: a restart would start it.
func (r *restarting) await(ctx context.Context) (done bool, err error) {
	silent := time.Now().Add(r.Patience.Settle(r.in.To))
	for looks := min(1<<min(r.waited, 10), longestWait); ; looks-- {
		if err := r.pause(ctx); err != nil {
			return false, err
		}
		info, err := r.Supervisor.Info(ctx, r.in.Slug)
		halted := err == nil && r.tries == 0 && !r.ended && info.State == evidence.StateStopped // not by us
		late := time.Since(r.began) > r.Patience.Busy
		already, starting := false, false
		if err == nil && info.State == evidence.StateStarted {
			already, starting = r.meanwhile(ctx, silent)
		}
		if starting {
			looks = max(looks, 2)
		}
		switch {
		case already:
			return true, nil
		case late && halted:
			return false, r.stoppedByHand(ctx, *r.in)
		case late:
			r.Log.Warn().Msg("Supervisor was busy or away for too long; the restart is put off.")
			return false, r.end(policy.Busy, r.in.To)
		case !halted && looks <= 1:
			return false, nil
		}
	}
}

// meanwhile says whether the job that held the app has started it anew, or is about to.
func (r *restarting) meanwhile(ctx context.Context, silent time.Time) (already, starting bool) {
	switch answers := r.Connector.Inspect(ctx, time.Now()).Status != 0; {
	case !answers:
		return false, r.in.Process != "" && time.Now().Before(silent)
	case r.renewed(*r.in, r.began):
		r.Log.Info().Msg("The job that held the Cloudflared app has restarted it already.")
		return true, false
	}
	return false, false
}

// renewed says whether a different process answered last from the one that was to go.
func (t *Treatment) renewed(in journal.Intention, since time.Time) bool {
	if p := t.Connector.Process(); p != "" && in.Process != "" {
		return p != in.Process
	}
	return t.Connector.Renewed(since)
}

// condition is what became of a restart that ended in an error.
type condition uint8

const (
	anew     condition = iota // a new process runs, or one is starting
	asBefore                  // the old process runs on: the restart was not done
	down                      // the add-on is stopped
)

// aftermath finds out what became of a restart whose answer was an error or got
// lost. An add-on that is still shown started may be about to be stopped, so what
// counts is whether another process answers.
func (t *Treatment) aftermath(ctx context.Context, in journal.Intention, began time.Time) (condition, error) {
	deadline := time.Now().Add(t.Patience.Settle(in.To))
	for {
		info, err := t.readUntilKnown(ctx, in)
		if err != nil {
			return down, err
		}
		if info.State != evidence.StateStarted && info.State != evidence.StateStartup {
			// The restart may have been done, and a person have stopped what it started, while
			// its answer was waited for.
			if info.State == evidence.StateStopped && t.ending(ctx, in, began) == tunnel.EndedBySignal {
				return down, t.stoppedByHand(ctx, in)
			}
			return down, nil
		}
		c := t.Connector.Inspect(ctx, time.Now())
		late := time.Now().After(deadline)
		switch {
		case c.Status != 0 && t.renewed(in, began):
			return anew, nil
		case late && c.Status != 0:
			return asBefore, nil
		case late:
			return anew, nil // it does not answer, so it is not the old one; connect judges it
		}
		if err := t.pause(ctx); err != nil {
			return down, err
		}
	}
}

// settledOn gives the protocol that is stored once a write whose answer got lost can
// no longer take effect: later it would look like a person's doing.
func (t *Treatment) settledOn(ctx context.Context, in journal.Intention) (evidence.Protocol, error) {
	for {
		info, err := t.readUntilKnown(ctx, in)
		if err != nil {
			return in.From, err
		}
		there, err := tunnel.ProtocolOf(info.Options)
		if age := time.Since(in.At); err != nil || there == in.To || age > t.Patience.Late || age < 0 {
			return there, nil
		}
		if err := t.pause(ctx); err != nil {
			return there, err
		}
	}
}

// looksStopped is how many looks in a row must show an app stopped: Supervisor's word
// lags behind its own restarts.
const looksStopped = 3

// stopped says whether the app is stopped, and stays so for a few looks.
func (t *Treatment) stopped(ctx context.Context, in journal.Intention, info supervisor.Info) (bool, error) {
	for range looksStopped - 1 {
		if info.State != evidence.StateStopped {
			return false, nil
		}
		if err := t.pause(ctx); err != nil {
			return false, err
		}
		var err error
		if info, err = t.readUntilKnown(ctx, in); err != nil {
			return false, err
		}
	}
	return info.State == evidence.StateStopped, nil
}

// ending is how the app's last run ended, if one has begun since then.
func (t *Treatment) ending(ctx context.Context, in journal.Intention, since time.Time) tunnel.Ending {
	text, err := t.Supervisor.Log(ctx, in.Slug)
	if err != nil {
		return tunnel.EndNotKnown
	}
	return tunnel.EndingOf(text, since)
}

// notRunning ends a change after whose restart the app is shown stopped: by a person,
// unless its log says that it ended on its own, or never began again after our own stop.
// Then it is ours to start again.
func (t *Treatment) notRunning(ctx context.Context, in journal.Intention) error {
	end := t.ending(ctx, in, in.At)
	// Only where that moment was before our own stop does it say that nothing began after it.
	if end == tunnel.EndedByError || end == tunnel.NeverBegan && in.Stage == journal.Restarting {
		return t.end(policy.Crashed, in.To)
	}
	return t.stoppedByHand(ctx, in)
}

// stoppedByHand ends the change because a person stopped the add-on. It stays
// stopped, and what was not proven is taken back, so that it will start with what
// was.
func (t *Treatment) stoppedByHand(ctx context.Context, in journal.Intention) error {
	if in.To == in.Back {
		return t.end(policy.UserStopped, in.To)
	}
	err := t.putBack(ctx, in)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		t.Log.Warn().Err(err).Msg("The app was stopped by hand, and the earlier protocol could not be restored.")
		return t.end(policy.UserStopped, in.To)
	}
	return t.end(policy.UserStopped, in.Back)
}

func (t *Treatment) putBack(ctx context.Context, in journal.Intention) error {
	info, err := t.Supervisor.Info(ctx, in.Slug)
	if err == nil {
		err = info.OptionsError
	}
	if err != nil {
		return err
	}
	there, err := tunnel.ProtocolOf(info.Options)
	if err != nil || there != in.To {
		return err
	}
	options, err := tunnel.WithProtocol(info.Options, in.Back)
	if err != nil {
		return err
	}
	return t.Supervisor.SetOptions(ctx, in.Slug, options)
}

// connect waits for the connection: a restart that answered 200 says only that a
// container started.
func (t *Treatment) connect(ctx context.Context, in journal.Intention) (policy.Outcome, error) {
	began := in.At
	if began.IsZero() {
		began = time.Now()
	}
	deadline := time.Now().Add(t.Patience.Settle(in.To))
	for seen := (looks{began: time.Now()}); ; {
		c := t.Connector.Inspect(ctx, time.Now())
		var result policy.Result
		var err error
		if c.Status != 0 {
			result = seen.answered(c, t.renewed(in, began), goesBack(in) || transportOf(in.To) == evidence.NoTransport || c.Transport == transportOf(in.To))
		} else { // only a connector that does not answer at all can have ended
			result, err = t.silent(ctx, in, &seen)
		}
		if result == policy.NoResult && err == nil && time.Now().After(deadline) {
			result = policy.Unsettled
		}
		if err != nil || result != policy.NoResult {
			return policy.Outcome{Result: result, Setting: in.To, Transport: c.Transport}, err
		}
		if err := t.pauseUntilUp(ctx, in, began, seen); err != nil {
			return policy.Outcome{}, err
		}
	}
}

// Within the time that a start takes, as a rule, the connector is asked several times as
// often as it is looked at: the household is cut off until then. One that takes longer is
// left in peace.
const (
	eager  = 15 * time.Second
	nimble = 5
)

// pauseUntilUp is a pause that ends as soon as the new process is connected. What is seen
// within it counts for nothing else: Supervisor's word, and the old process, get the time
// that they need.
func (t *Treatment) pauseUntilUp(ctx context.Context, in journal.Intention, began time.Time, seen looks) error {
	if seen.other > 0 || time.Since(seen.began) > eager {
		return t.pause(ctx)
	}
	for range nimble - 1 {
		if err := pause(ctx, t.Patience.Poll/nimble); err != nil {
			return err
		}
		if t.Connector.Inspect(ctx, time.Now()).Up() && t.renewed(in, began) {
			return nil
		}
	}
	return pause(ctx, t.Patience.Poll/nimble)
}

// looks counts what a tunnel that is to connect was seen as: once may be too early.
type looks struct {
	began                        time.Time
	failing, halted, same, other int
}

// answered judges a connector that answers; NoResult is not yet.
func (l *looks) answered(c evidence.Connector, renewed, fits bool) policy.Result {
	switch {
	case !renewed:
		// Only another process shows that there was a restart.
		if l.same++; l.same >= looksStopped {
			return policy.NotRestarted
		}
	case c.Up() && fits:
		return policy.Settled
	case c.Up():
		// Which transport it is may not be known at once, or for an old cloudflared not at all.
		if l.other++; l.other < looksStopped {
			return policy.NoResult
		}
		if c.Transport == evidence.NoTransport {
			return policy.Settled
		}
		return policy.OtherTransport
	}
	return policy.NoResult
}

// silent judges a connector that does not answer by what Supervisor says of the app.
func (t *Treatment) silent(ctx context.Context, in journal.Intention, l *looks) (policy.Result, error) {
	info, err := t.Supervisor.Info(ctx, in.Slug)
	switch {
	case err != nil:
	case !info.Installed():
		return policy.UserStopped, nil
	case info.State == evidence.StateStopped:
		if l.halted++; l.halted >= looksStopped {
			return policy.NoResult, t.notRunning(ctx, in)
		}
	case info.State == evidence.StateError:
		// Supervisor's watchdog may be about to start it again: look more than once.
		if l.failing++; l.failing >= 3 {
			return policy.Crashed, nil
		}
	default:
		l.failing, l.halted = 0, 0
	}
	return policy.NoResult, nil
}

// readUntilKnown reads the add-on however long it takes. Once something was sent, nothing
// can be concluded, and nothing done, before it is known what is there.
func (t *Treatment) readUntilKnown(ctx context.Context, in journal.Intention) (supervisor.Info, error) {
	for {
		info, err := t.info(ctx, in)
		var s *stopped
		if !errors.As(err, &s) || s.Result != policy.NotAvailable {
			return info, err
		}
	}
}

// info reads the add-on, patiently: a Supervisor that is away is waited for.
func (t *Treatment) info(ctx context.Context, in journal.Intention) (supervisor.Info, error) {
	deadline := time.Now().Add(t.Patience.Busy)
	for {
		info, err := t.Supervisor.Info(ctx, in.Slug)
		switch {
		case ctx.Err() != nil:
			return info, ctx.Err()
		case err == nil && !info.Installed():
			return info, t.end(policy.UserStopped, in.From)
		case err == nil && info.OptionsError == nil:
			return info, nil
		case time.Now().After(deadline):
			t.Log.Warn().AnErr("error", errors.Join(err, info.OptionsError)).Msg("Supervisor could not be asked for too long.")
			return info, t.end(policy.NotAvailable, in.From)
		}
		if err := t.pause(ctx); err != nil {
			return info, err
		}
	}
}

// risky says whether a change sets a protocol that is not proven. Without a note of
// it a start after a crash would take it for a person's choice. A way back needs no
// note: it leads to what is theirs, or was proven.
func risky(in journal.Intention) bool {
	return in.Purpose == policy.Trial || in.Purpose == policy.Failback || in.Purpose == policy.ByHand
}

func (t *Treatment) intend(in journal.Intention, s journal.Stage) error {
	in.Stage, in.At = s, time.Now()
	return t.Diary.Intend(in)
}

func (t *Treatment) end(r policy.Result, setting evidence.Protocol) error {
	return &stopped{policy.Outcome{Result: r, Setting: setting}}
}

func (t *Treatment) pause(ctx context.Context) error { return pause(ctx, t.Patience.Poll) }

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// linger is how much of the time that a stop leaves is spent on a write that was
// under way.
const linger = time.Second

// Leave puts a protocol back in the seconds that a stop leaves: it writes the
// options and, if the add-on may run with another one, sends the restart off
// without waiting for its end; Supervisor carries it out without us. The intention's
// stage is the one that the interrupted change had reached. What could not be done
// stands in the diary, and the next start does it.
func (t *Treatment) Leave(ctx context.Context, in journal.Intention, restart bool) error {
	interrupted, writing := in.Stage == journal.Restarting, in.Stage == journal.Writing
	// A diary that cannot be written must not keep the setting from going back.
	unnoted := t.intend(in, journal.Writing)
	info, stored, err := t.storeLast(ctx, in, writing)
	if err != nil || !stored {
		return errors.Join(err, unnoted)
	}
	// Stopped by hand it stays stopped; between the stop and the start of our own
	// restart it must not.
	halted := info.State == evidence.StateStopped && !in.StoppedByUs
	if !restart || halted && (!interrupted || t.ending(ctx, in, in.At) == tunnel.EndedBySignal) {
		return unnoted
	}
	if err := t.startable(ctx, in, info.Options, in.To); err != nil {
		return errors.Join(err, unnoted) // the setting is stored; the next start of this program does the rest
	}
	if in.Most != 0 && in.Begun >= in.Most {
		return unnoted
	}
	in.Process = t.Connector.Process()
	in.Begun++
	unnoted = errors.Join(unnoted, t.intend(in, journal.Restarting))
	taken, err := t.restartLast(ctx, in.Slug)
	if taken {
		err = t.intend(in, journal.Connecting)
	}
	return errors.Join(err, unnoted)
}

// storeLast stores the setting, and says whether it is there: a person's own stays. A write
// that was under way may take effect yet, so it is looked at for a while.
func (t *Treatment) storeLast(ctx context.Context, in journal.Intention, writing bool) (info supervisor.Info, stored bool, err error) {
	for began := time.Now(); ; {
		if info, err = t.Supervisor.Info(ctx, in.Slug); err == nil {
			err = info.OptionsError
		}
		if err != nil {
			return info, false, err
		}
		there, err := tunnel.ProtocolOf(info.Options)
		if err != nil || !in.Knows(there) || info.Options.HoldsSecretReference() {
			return info, false, err
		}
		if there != in.To {
			options, err := tunnel.WithProtocol(info.Options, in.To)
			if err == nil {
				err = t.Supervisor.SetOptions(ctx, in.Slug, options)
			}
			if err != nil {
				return info, false, err
			}
		}
		if !writing || time.Since(began) > min(linger, t.Patience.Late) || t.pause(ctx) != nil {
			return info, true, nil
		}
	}
}

// restartLast asks for a restart until Supervisor takes it: busy it is with the one that was
// interrupted, as a rule. Where the context ends first, it may have been sent all the same.
func (t *Treatment) restartLast(ctx context.Context, slug string) (taken bool, busy error) {
	for {
		err := t.Supervisor.Restart(ctx, slug)
		switch {
		case err == nil:
			return true, nil
		case ctx.Err() != nil:
			return false, busy // not busy before, it was sent
		case !supervisor.Is(err, supervisor.Busy):
			return false, err
		}
		if busy = err; t.pause(ctx) != nil {
			return false, busy
		}
	}
}
