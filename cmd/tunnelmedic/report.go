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
an id it is the newest. It reads what the daemon has recorded and disturbs nothing; in the public
form, which is the default, host names, addresses and ids are placeholders.
`

func runReport(_ context.Context, args []string, out, errOut io.Writer) int {
	f := flag.NewFlagSet("report", flag.ContinueOnError)
	public := f.Bool("public", false, "placeholders for what is yours (default)")
	private := f.Bool("private", false, "as it is; secrets are in neither form")
	list := f.Bool("list", false, "list the incidents on record")
	month := f.Bool("month", false, "the month at a glance alone")
	id, args := beforeFlags(args)
	if code, done := parseFlags(f, reportHelp, args, out, errOut); done {
		return code
	}
	if *public && *private {
		fmt.Fprintln(errOut, "tunnelmedic report: --public and --private exclude each other")
		return exitUsage
	}
	j, scrub, err := addon.Records(os.Environ())
	if err != nil {
		fmt.Fprintln(errOut, "tunnelmedic:", err)
		return exitUsage
	}
	now := time.Now()
	switch {
	case *list:
		for _, i := range j.Incidents() {
			ended := "open"
			if !i.Ended.IsZero() {
				ended = i.Ended.Sub(i.Onset).Round(time.Second).String()
			}
			fmt.Fprintf(out, "%-18s %-24s %-10s %s\n", i.ID, i.Cause, ended, report.Attribute(i).Verdict)
		}
		return 0
	case *month:
		fmt.Fprint(out, report.MonthOf(j.History(), j.Incidents(), now).Markdown())
		return 0
	}
	d, ok := report.Of(j, id, now, fullVersion())
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
