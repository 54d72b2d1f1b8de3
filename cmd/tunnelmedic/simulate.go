//go:build !image

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"tunnelmedic/internal/sim"
)

// runSimulate measures the policy against its rivals and the oracle. It exits 1 if
// the simulation could not be done, not if a target is missed.
func runSimulate(ctx context.Context, args []string, out, errOut io.Writer) int {
	f := flag.NewFlagSet("simulate", flag.ContinueOnError)
	incidents := f.Int("incidents", 10000, "virtual incidents in all, spread over the families; and as many household-years of family F")
	interval := f.Duration("interval", 0, "the option probe_interval: time between probes while all is well, 15s to 1h (default 2m)")
	seed := f.Uint64("seed", 1, "the same seed gives the same figures")
	asJSON := f.Bool("json", false, "figures as JSON")
	markdown := f.Bool("markdown", false, "the compact table for the README")
	bend := f.Bool("sensitivity", false, "also with each assumption off by a factor of 3 and with silent losses (some eight times the work)")
	svg := f.String("svg", "", "a folder to draw one incident of each family into")
	if code, done := parseFlags(f, "The policy in virtual homes, against its rivals and an oracle.", args, out, errOut); done {
		return code
	}
	if *incidents < 2 {
		fmt.Fprintln(errOut, "tunnelmedic simulate: --incidents must be at least 2")
		return exitUsage
	}
	if *interval != 0 && (*interval < 15*time.Second || *interval > time.Hour) {
		fmt.Fprintln(errOut, "tunnelmedic simulate: --interval must be 15s to 1h, as the option probe_interval")
		return exitUsage
	}
	cfg, err := sim.Standard(*incidents, *seed, *interval)
	if err == nil {
		err = simulate(ctx, cfg, *asJSON, *markdown, *bend, *svg, out, errOut)
	}
	if err != nil {
		fmt.Fprintln(errOut, "tunnelmedic simulate:", err)
		return exitFailure
	}
	return 0
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
		return r.Markdown(out)
	}
	if err := r.Print(out); err != nil {
		return err
	}
	if bend {
		return sim.PrintSensitivity(out, r.Targets, bends)
	}
	return nil
}

func pictures(cfg sim.Config, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, f := range sim.Families() {
		file, err := os.Create(filepath.Join(dir, "incident-"+f.String()+".svg"))
		if err != nil {
			return err
		}
		err = sim.Picture(file, cfg, f, 0)
		if closed := file.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return fmt.Errorf("drawing family %s: %w", f, err)
		}
	}
	return nil
}
