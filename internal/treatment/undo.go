package treatment

import (
	"context"

	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
)

// Undo carries out the way back on an app that is not watched any more. begun is the
// change that was under way, nil for none. Where the running process was never started
// with what is taken back (in.NoRestart), the options alone are put back.
func (t *Treatment) Undo(ctx context.Context, in journal.Intention, begun *journal.Intention) (policy.Outcome, error) {
	if begun != nil && begun.Stage == journal.Writing && begun.To != in.To {
		// A write whose answer got lost must not take effect behind our back.
		if _, err := t.settledOn(ctx, *begun); err != nil {
			return t.outcome(policy.Outcome{}, err)
		}
	}
	if in.NoRestart {
		return t.outcome(t.store(ctx, in))
	}
	return t.Do(ctx, in)
}

// Redo takes up a way back that a stop or a crash interrupted.
func (t *Treatment) Redo(ctx context.Context, in journal.Intention) (policy.Outcome, error) {
	if in.NoRestart {
		return t.outcome(t.store(ctx, in))
	}
	return t.Resume(ctx, in)
}

// store puts the options back and leaves the process alone.
func (t *Treatment) store(ctx context.Context, in journal.Intention) (policy.Outcome, error) {
	if _, err := t.write(ctx, in); err != nil {
		return policy.Outcome{}, err
	}
	return policy.Outcome{Result: policy.Settled, Setting: in.To, Transport: in.Before}, nil
}
