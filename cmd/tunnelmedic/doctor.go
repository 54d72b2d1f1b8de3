package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"tunnelmedic/addon"
	"tunnelmedic/internal/doctor"
	"tunnelmedic/internal/h2check"
)

const doctorHelp = `Every look once, as a table with verdict and advice. Inside Home Assistant it looks from all sides; anywhere else
at what can be seen from outside, so that anyone with a tunnel can use it:

  tunnelmedic doctor --url https://ha.example.com

Exit code: 0 healthy, 1 not, 2 could not tell. Options and credentials come from the environment, as for the daemon:
TUNNELMEDIC_ACCESS_CLIENT_ID and …_SECRET for Cloudflare Access, TUNNELMEDIC_HA_TOKEN to sign in.
`

// maxCount bounds --count: more would look like an attack.
const maxCount = 500

func runDoctor(ctx context.Context, args []string, out, errOut io.Writer) error {
	f := flag.NewFlagSet("doctor", flag.ContinueOnError)
	var c addon.Consultation
	f.StringVar(&c.URL, "url", "", "the public `address` of Home Assistant; detected automatically inside Home Assistant")
	f.StringVar(&c.Certificate, "cert", "", "client certificate for mutual TLS, a PEM `file`")
	f.StringVar(&c.Key, "key", "", "its key, a PEM `file`")
	asJSON := f.Bool("json", false, "the report as JSON")
	http2 := f.Bool("http2", false, "the look over HTTP/2 instead: one request in two shapes, with the frames of both sides")
	count := f.Int("count", 10, "how `often` --http2 sends each shape")
	if err := parseFlags(f, doctorHelp, args, out); err != nil {
		return err
	}
	if given(f, "count") && !*http2 {
		return misuse{errors.New("--count belongs to --http2: give both, or leave it out")}
	}
	if *count < 1 || *count > maxCount {
		return misuse{fmt.Errorf("--count %d is not in 1–%d", *count, maxCount)}
	}
	d, err := addon.Consult(os.Environ(), fullVersion(), c)
	if err != nil {
		return misuse{err}
	}
	for _, w := range d.Warnings {
		fmt.Fprintln(errOut, "tunnelmedic doctor:", w)
	}
	if *http2 {
		return doctorHTTP2(ctx, d, *count, *asJSON, out, errOut)
	}
	return doctorRows(ctx, d, *asJSON, out, errOut)
}

// doctorRows makes every look once.
func doctorRows(ctx context.Context, d addon.Consulted, asJSON bool, out, errOut io.Writer) error {
	if d.Path != "" {
		d.Place.Notes = append(d.Place.Notes, "The path in the address is left out: Home Assistant's own are asked.")
	}
	r, err := doctor.Examine(ctx, d.Place, doctor.Progress(errOut))
	if err == nil && r.Refused && d.Refuse != nil {
		if err := d.Refuse(); err != nil {
			fmt.Fprintln(errOut, "tunnelmedic doctor:", err)
		}
	}
	switch {
	case ctx.Err() != nil: // half of the looks would make a verdict of their own
		return errInterrupted
	case err != nil:
		return misuse{err}
	}
	return written(r.Code, r, r.Write, asJSON, out)
}

func doctorHTTP2(ctx context.Context, d addon.Consulted, count int, asJSON bool, out, errOut io.Writer) error {
	if err := doctor.Settle(ctx, &d.Place); err != nil {
		if ctx.Err() != nil {
			return errInterrupted
		}
		return misuse{err}
	}
	n := 0
	r := h2check.Examine(ctx, d.Place, cmp.Or(d.Path, "/manifest.json"), count, func(l h2check.Look) {
		n++
		fmt.Fprintf(errOut, "  %3d %s: %s\n", n, l.Shape, l.Outcome)
	})
	if ctx.Err() != nil && n == 0 {
		return errInterrupted
	}
	err := written(r.Code, r, r.Write, asJSON, out)
	if ctx.Err() != nil { // what was counted until then is true
		return errInterrupted
	}
	return err
}

// written writes a report, and ends with its exit code.
func written(code int, report any, text func(io.Writer) error, asJSON bool, out io.Writer) error {
	var err error
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		err = e.Encode(report)
	} else {
		err = text(out)
	}
	if err != nil {
		return misuse{err}
	}
	return exit(code)
}
