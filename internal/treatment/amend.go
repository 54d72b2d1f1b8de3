package treatment

import (
	"context"
	"errors"

	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/tunnel"
)

// Shorten stores the flag that shortens restarts, or takes it away; the running process keeps what
// it was started with. Supervisor takes all options in one call or none, so that a crash at any
// moment leaves either what was there or what was asked for; and what is stored is a person's wish
// like any other option, so that nothing is to be undone. The reason of a refusal is a
// policy.Refusal; any other error means that the context ended.
func (t *Treatment) Shorten(ctx context.Context, slug string, short bool) error {
	for range 3 {
		info, err := t.Supervisor.Info(ctx, slug)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil || info.OptionsError != nil || !info.Installed():
			return policy.Refusal{Because: policy.NotReached}
		case info.Options.HoldsSecretReference():
			return policy.Refusal{Because: policy.HoldsSecrets}
		}
		options, err := tunnel.WithShortGrace(info.Options, short)
		switch {
		case errors.Is(err, tunnel.ErrGrace):
			return policy.Refusal{Because: policy.OwnGrace}
		case err != nil:
			return policy.Refusal{Because: policy.NotValid}
		case options.Equal(info.Options):
			return nil // it is so already, or an earlier try was stored whose answer got lost
		}
		if err := t.amend(ctx, slug, options); err != nil {
			return err
		}
	}
	return policy.Refusal{Because: policy.NotReached} // somebody saves the form again and again, or nothing is stored
}

// amend writes options that Supervisor takes for valid. What is stored then is for the next look.
func (t *Treatment) amend(ctx context.Context, slug string, options supervisor.Options) error {
	err := t.Supervisor.ValidateOptions(ctx, slug, options)
	if err == nil {
		err = t.Supervisor.SetOptions(ctx, slug, options)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case supervisor.Is(err, supervisor.Rejected):
		t.Log.Warn().Err(err).Msg("Supervisor does not accept the flag; nothing was changed.")
		return policy.Refusal{Because: policy.NotValid}
	case err != nil:
		t.Log.Debug().Err(err).Msg("The options could not be written, or may be yet; looking at what is there.")
		return t.pause(ctx)
	}
	return nil
}
