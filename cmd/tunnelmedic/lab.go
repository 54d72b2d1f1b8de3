//go:build !image

package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"tunnelmedic/addon"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/story"
)

const labHelp = `The whole program at work on this machine, over real sockets, in a world that behaves as
Supervisor, cloudflared, Cloudflare and Home Assistant do. It tells what happens as it happens
and ends with a summary; exit 1 if a story ends otherwise than it should.
`

const serveHelp = `# go run ./cmd/tunnelmedic run
#
# To drive the world:
#   curl $LAB/control                                                              what there is
#   curl $LAB/control/state                                                        the world now
#   curl -X PUT $LAB/control/faults -d '{"upgrade":{"quic":{"share":1}}}'           lose every WebSocket over QUIC
#   curl -X PUT $LAB/control/faults -d '{}'                                         mend everything
#   curl http://$TUNNELMEDIC_LISTEN/api/status                                     what the daemon thinks
# Ctrl-C ends the world.
`

func runLab(ctx context.Context, args []string, out, errOut io.Writer) error {
	f := flag.NewFlagSet("lab", flag.ContinueOnError)
	name := f.String("scenario", story.Scenarios[0].Name, "the story to play, or all")
	serve := f.Bool("serve", false, "build the world, say how to reach and drive it, and keep it until interrupted")
	demo := f.Bool("demo", false, "the world with the program in it, a page to look at, and one to break and mend things, until interrupted")
	seed := f.Uint64("seed", 1, "of everything drawn in the world")
	help := labHelp + "\nScenarios:\n"
	for _, s := range story.Scenarios {
		help += fmt.Sprintf("  %-20s %s\n", s.Name, s.About)
	}
	if err := parseFlags(f, help, args, out); err != nil {
		return err
	}
	switch why := contradiction(f, *serve, *demo); {
	case why != "":
		return misuse{errors.New(why)}
	case *demo:
		return story.Demo(ctx, *seed, daemon, out)
	case *serve:
		return serveLab(ctx, *seed, out)
	}
	scenarios := story.Scenarios
	if *name != "all" {
		sc, err := story.Named(*name)
		if err != nil {
			return misuse{err}
		}
		scenarios = []story.Scenario{sc}
	}
	return playAll(ctx, scenarios, *seed, out, errOut)
}

// contradiction says which flags do not go together; "" if they do.
func contradiction(f *flag.FlagSet, serve, demo bool) string {
	switch {
	case serve && demo:
		return "--demo is the world with the program in it, --serve the world without: choose one"
	case serve && given(f, "scenario"):
		return "--serve plays no scenario"
	case demo && given(f, "scenario"):
		return "--demo plays no scenario"
	}
	return ""
}

// daemon is the program as it ships.
func daemon(ctx context.Context, environ []string, log io.Writer) error {
	return addon.Run(ctx, environ, fullVersion(), log)
}

// playAll plays one story live, several side by side with each told whole when it
// has ended.
func playAll(ctx context.Context, scenarios []story.Scenario, seed uint64, out, errOut io.Writer) (end error) {
	results := make([]story.Result, len(scenarios))
	var mu sync.Mutex // guards out, errOut and end
	var wg sync.WaitGroup
	for i, sc := range scenarios {
		wg.Go(func() {
			var told bytes.Buffer
			to := io.Writer(&told)
			if len(scenarios) == 1 {
				to = out
			}
			r, err := story.Play(ctx, sc, seed, daemon, to)
			mu.Lock()
			defer mu.Unlock()
			results[i] = r
			if ctx.Err() != nil {
				return
			}
			if len(scenarios) > 1 {
				_, _ = told.WriteString("\n")
				_, _ = out.Write(told.Bytes())
			}
			if err != nil {
				fmt.Fprintf(errOut, "tunnelmedic lab: %s: %v\n", sc.Name, err)
			}
			if err != nil || len(r.Failures) > 0 {
				end = exit(exitFailure)
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return errInterrupted
	}
	if len(scenarios) > 1 {
		fmt.Fprintf(out, "%-20s %8s %9s %9s  %s\n", "scenario", "took", "cut off", "restarts", "as it should be")
		for i, r := range results {
			verdict := "yes"
			if r.Scenario == "" || len(r.Failures) > 0 {
				verdict = "NO"
			}
			fmt.Fprintf(out, "%-20s %7.1fs %8.2fs %9d  %s\n", scenarios[i].Name, r.Took.Seconds(), r.CutOff.Seconds(), r.Restarts, verdict)
		}
	}
	return end
}

// serveLab keeps a world for whoever wants to drive it by hand.
func serveLab(ctx context.Context, seed uint64, out io.Writer) error {
	w, err := lab.New(lab.Options{Seed: seed, Speed: 0.1})
	if err != nil {
		return err
	}
	defer w.Close()
	fmt.Fprintln(out, "# The world is up. In another terminal, to run the daemon in it:")
	env := w.Env()
	env["TUNNELMEDIC_DATA_DIR"], env["LAB"] = "./lab-data", w.ControlURL()
	for _, k := range slices.Sorted(maps.Keys(env)) {
		fmt.Fprintf(out, "export %s=%q\n", k, env[k])
	}
	fmt.Fprint(out, serveHelp)
	<-ctx.Done()
	fmt.Fprintln(out, "# The world has ended.")
	return nil
}
