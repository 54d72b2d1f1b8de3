package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"tunnelmedic/addon"
	"tunnelmedic/internal/report"
)

const reportHelp = `An incident as a document in Markdown, for a bug report or a forum: tunnelmedic report [id]. Without
an id it is the newest. It reads what the daemon has recorded and disturbs nothing. Host names,
addresses and ids are placeholders, so that it can be made public.
`

func runReport(_ context.Context, args []string, out, errOut io.Writer) int {
	f := flag.NewFlagSet("report", flag.ContinueOnError)
	private := f.Bool("private", false, "with your own names; secrets are in neither form")
	list := f.Bool("list", false, "list the incidents on record")
	id, args := beforeFlags(args)
	if code, done := parseFlags(f, reportHelp, args, out, errOut); done {
		return code
	}
	j, scrub, err := addon.Records(os.Environ())
	if err != nil {
		fmt.Fprintln(errOut, "tunnelmedic:", err)
		return exitUsage
	}
	if *list {
		for _, i := range j.Incidents() {
			ended := "open"
			if !i.Ended.IsZero() {
				ended = i.Ended.Sub(i.Onset).Round(time.Second).String()
			}
			fmt.Fprintf(out, "%-18s %-24s %-10s %s\n", i.ID, i.Cause, ended, report.Attribute(i).Verdict)
		}
		return 0
	}
	d, ok := report.Of(j, id, time.Now(), fullVersion())
	switch {
	case !ok && id == "":
		fmt.Fprintln(errOut, "tunnelmedic report: there is no incident on record.")
		return exitFailure
	case !ok:
		fmt.Fprintf(errOut, "tunnelmedic report: there is no incident %q on record; `tunnelmedic report --list` lists them\n", id)
		return exitFailure
	}
	d.Scrub = scrub
	form := report.Public
	if *private {
		form = report.Private
	}
	fmt.Fprint(out, report.Markdown(d, form))
	return 0
}

// beforeFlags takes the one argument that is no flag, wherever it stands.
func beforeFlags(args []string) (id string, flags []string) {
	i := slices.IndexFunc(args, func(a string) bool { return !strings.HasPrefix(a, "-") })
	if i < 0 {
		return "", args
	}
	return args[i], slices.Delete(slices.Clone(args), i, i+1)
}
