package treatment

import (
	"context"
	"slices"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/tunnel"
)

// order is a protocol that is being stored. Supervisor knows no preconditions, the last
// writer wins: so the options are read just before, and compared after.
type order struct {
	*change
	sent bool // to Supervisor, whatever its answer
}

// write stores the new protocol and reads it back.
func (c *change) write(ctx context.Context) error {
	o, read := order{change: c}, c.info
	for n := range 3 {
		// Noted before it is read: what lies between reading and writing can cost a
		// person's edit, and a flush to an SD card takes long.
		if err := c.note(journal.Writing); err != nil && c.risky() && n == 0 {
			return end(policy.Unkept, c.in.From)
		}
		info, err := read(ctx)
		if err != nil {
			return err
		}
		read = c.known // something may have been sent by then
		there, options, err := o.free(ctx, info)
		if err != nil || there == c.in.To { // the same protocol, restarted; or written by an earlier try whose answer got lost
			return err
		}
		if stored, err := o.send(ctx, options, there); err != nil || stored {
			return err
		}
		// Somebody saved the form in between, with the protocol it had shown them. Again.
	}
	if there, err := c.settledOn(ctx, time.Now()); err != nil || there == c.in.To {
		return err
	}
	return &stopped{policy.Outcome{Result: policy.NotAvailable, Setting: c.in.From, Sent: o.sent}}
}

// free gives the protocol that is stored, and the options to store, if they may be changed.
func (o *order) free(ctx context.Context, info supervisor.Info) (there evidence.Protocol, options supervisor.Options, err error) {
	halted, err := o.halted(ctx, info)
	if err != nil {
		return there, nil, err
	}
	if there, err = tunnel.ProtocolOf(info.Options); err != nil {
		return there, nil, end(policy.UserChanged, o.in.From)
	}
	options, err = tunnel.WithProtocol(info.Options, o.in.To)
	switch {
	case o.foreign(there):
		return there, nil, end(policy.UserChanged, there)
	case halted && there == o.in.To:
		return there, nil, o.stoppedByHand(ctx)
	case halted && !o.goesBack():
		return there, nil, end(policy.UserStopped, there)
	case there != o.in.To && info.Options.HoldsSecretReference():
		return there, nil, end(policy.AtRisk, there)
	case err != nil:
		return there, nil, end(policy.Rejected, there)
	case o.goesBack() && o.in.From != o.in.To: // the way back is stored first, whatever keeps it from being started
		return there, options, nil
	}
	return there, options, o.startable(ctx, options, there)
}

// foreign says whether a person has set the protocol that is there, be it just the one that
// was to be written.
func (o *order) foreign(there evidence.Protocol) bool {
	in := o.in
	return !in.Knows(there) || there == in.To && in.From != in.To && !o.sent && !slices.Contains(in.Ours, in.To)
}

// send writes the options, and says by what is read back whether they are stored: whatever
// the answer is, that counts.
func (o *order) send(ctx context.Context, options supervisor.Options, there evidence.Protocol) (stored bool, err error) {
	o.sent = true
	refused := o.Supervisor.SetOptions(ctx, o.in.Slug, options)
	rejected := supervisor.Is(refused, supervisor.Rejected)
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case refused != nil && !supervisor.EffectUnknown(refused) && !rejected:
		o.Log.Debug().Err(refused).Msg("The options could not be written; looking at what is there.")
		if err := o.pause(ctx); err != nil {
			return false, err
		}
	}
	if stored, err = o.stored(ctx, options); err != nil || stored || !rejected {
		return stored, err
	}
	o.Log.Warn().Err(refused).Str("protocol", o.in.To.String()).Msg("Supervisor does not accept the setting; nothing was changed.")
	return false, end(policy.Rejected, there)
}

// stored reads back whether the options are what was sent, and ends the change where a
// person has stopped the app meanwhile.
func (o *order) stored(ctx context.Context, options supervisor.Options) (bool, error) {
	after, err := o.known(ctx)
	if err != nil {
		return false, err
	}
	if got, err := tunnel.ProtocolOf(after.Options); err != nil || got != o.in.To {
		return false, nil
	}
	switch halted, err := o.halted(ctx, after); {
	case err != nil:
		return false, err
	case halted:
		return false, o.stoppedByHand(ctx)
	}
	o.compare(options, after.Options)
	return true, nil
}

// compare tells of other options that are not as they were sent. What Supervisor has
// left out is none that a person edited: its schema no longer knows it, and the app has
// not been given it for long.
func (o *order) compare(sent, stored supervisor.Options) {
	var edited, dropped []string
	for _, name := range sent.Differing(stored, "run_parameters") {
		if _, there := stored[name]; there {
			edited = append(edited, name)
		} else {
			dropped = append(dropped, name)
		}
	}
	if len(edited) > 0 {
		o.Log.Info().Strs("options", edited).Msg("Other options were edited at the same moment; they stay as edited.")
	}
	if len(dropped) > 0 {
		o.Log.Info().Strs("options", dropped).Msg("Supervisor left out options that the Cloudflared app no longer knows.")
	}
}
