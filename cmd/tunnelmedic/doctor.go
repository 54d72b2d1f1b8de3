package main

import (
	"context"
	"encoding/json"
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

func runDoctor(ctx context.Context, args []string, out, errOut io.Writer) int {
	f := flag.NewFlagSet("doctor", flag.ContinueOnError)
	var c addon.Consultation
	f.StringVar(&c.URL, "url", "", "the public `address` of Home Assistant; detected automatically inside Home Assistant")
	f.StringVar(&c.Certificate, "cert", "", "client certificate for mutual TLS, a PEM `file`")
	f.StringVar(&c.Key, "key", "", "its key, a PEM `file`")
	asJSON := f.Bool("json", false, "the report as JSON")
	http2 := f.Bool("http2", false, "the look over HTTP/2 instead: one request in two shapes, with the frames of both sides")
	count := f.Int("count", 10, "how `often` --http2 sends each shape")
	if code, done := parseFlags(f, doctorHelp, args, out, errOut); done {
		return code
	}
	if given(f, "count") && !*http2 {
		fmt.Fprintln(errOut, "tunnelmedic doctor: --count belongs to --http2: give both, or leave it out")
		return exitUsage
	}
	if *count < 1 || *count > maxCount {
		fmt.Fprintf(errOut, "tunnelmedic doctor: --count %d is not in 1–%d\n", *count, maxCount)
		return exitUsage
	}
	d, err := addon.Consult(os.Environ(), fullVersion(), c)
	if err != nil {
		fmt.Fprintln(errOut, "tunnelmedic doctor:", err)
		return exitUsage
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
func doctorRows(ctx context.Context, d addon.Consulted, asJSON bool, out, errOut io.Writer) int {
	if d.Path != "" {
		d.Place.Notes = append(d.Place.Notes, "The path in the address is left out: Home Assistant's own are asked.")
	}
	r, err := doctor.Examine(ctx, d.Place, doctor.Progress(errOut))
	switch {
	case err != nil && ctx.Err() != nil:
		return interrupted("doctor", errOut)
	case err != nil:
		fmt.Fprintln(errOut, "tunnelmedic doctor:", err)
		return exitUsage
	}
	if r.Refused && d.Refuse != nil {
		if err := d.Refuse(); err != nil {
			fmt.Fprintln(errOut, "tunnelmedic doctor:", err)
		}
	}
	if ctx.Err() != nil { // half of the looks would make a verdict of their own
		return interrupted("doctor", errOut)
	}
	return written(r.Code, r, r.Write, asJSON, out, errOut)
}

func doctorHTTP2(ctx context.Context, d addon.Consulted, count int, asJSON bool, out, errOut io.Writer) int {
	if err := doctor.Settle(ctx, &d.Place); err != nil {
		if ctx.Err() != nil {
			return interrupted("doctor", errOut)
		}
		fmt.Fprintln(errOut, "tunnelmedic doctor:", err)
		return exitUsage
	}
	path := d.Path
	if path == "" {
		path = "/manifest.json"
	}
	n := 0
	r := h2check.Examine(ctx, d.Place, path, count, func(l h2check.Look) {
		n++
		fmt.Fprintf(errOut, "  %3d %s: %s\n", n, l.Shape, l.Outcome)
	})
	if ctx.Err() != nil {
		if n > 0 { // what was counted until then is true
			written(r.Code, r, r.Write, asJSON, out, errOut)
		}
		return interrupted("doctor", errOut)
	}
	return written(r.Code, r, r.Write, asJSON, out, errOut)
}

// written writes a report, and gives its exit code.
func written(code int, report any, text func(io.Writer) error, asJSON bool, out, errOut io.Writer) int {
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
		fmt.Fprintln(errOut, "tunnelmedic doctor:", err)
		return exitUsage
	}
	return code
}
