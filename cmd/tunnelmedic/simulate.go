//go:build !image

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"tunnelmedic/internal/sim"
)

const simulateHelp = `The policy in virtual homes, against its rivals and two oracles. Whether a target is met or missed is in the
table; the exit code is 0 either way.
`

// Of each family but F there are as many incidents: two at least, or there would be no
// intervals. A million takes an hour.
const leastIncidents, mostIncidents = 16, 1_000_000

// runSimulate measures the policy against its rivals and the oracle. It exits 1 if
// the simulation could not be done, not if a target is missed.
func runSimulate(ctx context.Context, args []string, out, errOut io.Writer) error {
	f := flag.NewFlagSet("simulate", flag.ContinueOnError)
	incidents := f.Int("incidents", 11000, fmt.Sprintf("virtual incidents in all, spread over the families, and as many household-years of family F: %d to %d", leastIncidents, mostIncidents))
	interval := f.Duration("interval", sim.Defaults().Interval, "the option probe_interval: time between probes while all is well, 15s to 1h")
	seed := f.Uint64("seed", 1, "the same seed gives the same figures")
	asJSON := f.Bool("json", false, "figures as JSON")
	markdown := f.Bool("markdown", false, "the compact tables for docs/SIMULATION.md")
	bend := f.Bool("sensitivity", false, "also with each assumption off by a factor of 3 and with silent losses (some ten times the work)")
	svg := f.String("svg", "", "a `folder` to draw one incident of each family into")
	if err := parseFlags(f, simulateHelp, args, out); err != nil {
		return err
	}
	wrong := ""
	switch {
	case *incidents < leastIncidents || *incidents > mostIncidents:
		wrong = fmt.Sprintf("--incidents must be %d to %d", leastIncidents, mostIncidents)
	case *interval < 15*time.Second || *interval > time.Hour:
		wrong = "--interval must be 15s to 1h, as the option probe_interval"
	case *asJSON && *markdown:
		wrong = "--json and --markdown exclude each other"
	case given(f, "svg") && *svg == "":
		wrong = "--svg takes a folder"
	}
	if wrong != "" {
		return misuse{errors.New(wrong)}
	}
	cfg, err := sim.Standard(*incidents, *seed, *interval)
	if err == nil {
		err = simulate(ctx, cfg, *asJSON, *markdown, *bend, *svg, out, errOut)
	}
	if errors.Is(err, context.Canceled) {
		return errInterrupted
	}
	return err
}

func simulate(ctx context.Context, cfg sim.Config, asJSON, markdown, bend bool, svg string, out, progress io.Writer) error {
	if svg != "" {
		if err := pictures(cfg, svg); err != nil {
			return err
		}
	}
	cfg.Progress = func(what string) { fmt.Fprintln(progress, what) }
	r, err := sim.Run(ctx, cfg)
	if err != nil {
		return err
	}
	var bends []sim.Bend
	if bend {
		if bends, err = sim.Sensitivity(ctx, cfg, r); err != nil {
			return err
		}
	}
	switch {
	case asJSON:
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(struct {
			*sim.Report
			Sensitivity []sim.Bend `json:"sensitivity,omitempty"`
		}{r, bends})
	case markdown:
		if err := r.Markdown(out); err != nil || !bend {
			return err
		}
		return sim.MarkdownSensitivity(out, r, bends)
	}
	if err := r.Print(out); err != nil {
		return err
	}
	if bend {
		return sim.PrintSensitivity(out, r, bends)
	}
	return nil
}

// pictures draws into a folder. A file is whole, or not there.
func pictures(cfg sim.Config, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("--svg: %w", err)
	}
	for _, f := range sim.Families() {
		var b bytes.Buffer
		if err := sim.Picture(&b, cfg, f, 0); err != nil {
			return fmt.Errorf("drawing family %s: %w", f, err)
		}
		file := filepath.Join(dir, "incident-"+f.String()+".svg")
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			_ = os.Remove(file)
			return fmt.Errorf("--svg: %w", err)
		}
	}
	return nil
}
