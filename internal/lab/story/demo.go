package story

import (
	"context"
	"fmt"
	"io"

	"tunnelmedic/internal/lab"
)

// Demo keeps a world and the daemon in it until the context ends, for whoever wants to break
// things and watch. The daemon's log goes to out.
func Demo(ctx context.Context, seed uint64, daemon Daemon, out io.Writer) error {
	w, env, close, err := home(ctx, lab.Options{Seed: seed})
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer close()
	fmt.Fprintf(out, `Tunnel Medic's page:       http://%s/
To break and mend things:  %s/
A check is made every %.1f s here, and every two minutes in a home. Ctrl-C ends it.

`, env["TUNNELMEDIC_LISTEN"], w.ControlURL(), w.Timings().ProbeInterval.Seconds())
	return daemon(ctx, lab.Environ(env), out)
}
