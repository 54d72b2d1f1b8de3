package story

import (
	"context"
	"fmt"
	"io"
	"os"

	"tunnelmedic/internal/lab"
)

// Demo keeps a world and the daemon in it until the context ends, for whoever wants to break
// things and watch. The daemon's log goes to out.
func Demo(ctx context.Context, seed uint64, daemon Daemon, out io.Writer) error {
	w, err := lab.New(lab.Options{Seed: seed, Speed: speed})
	if err != nil {
		return err
	}
	defer w.Close()
	dir, err := os.MkdirTemp("", "tunnelmedic-lab-")
	if err != nil {
		return fmt.Errorf("making the daemon's data folder: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := w.Connector.Ready(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("the lab's tunnel does not connect: %w", err)
	}
	env := environment(w, dir)
	fmt.Fprintf(out, `Tunnel Medic's page:       http://%s/
To break and mend things:  %s/
A check is made every %.1f s here, and every two minutes in a home. Ctrl-C ends it.

`, env["TUNNELMEDIC_LISTEN"], w.ControlURL(), w.Timings().ProbeInterval.Seconds())
	return daemon(ctx, lab.Environ(env), out)
}
