package main

import (
	"context"
	"errors"
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

func runReport(_ context.Context, args []string, out, _ io.Writer) error {
	f := flag.NewFlagSet("report", flag.ContinueOnError)
	private := f.Bool("private", false, "with your own names; secrets are in neither form")
	list := f.Bool("list", false, "list the incidents on record")
	id, args := beforeFlags(args)
	if err := parseFlags(f, reportHelp, args, out); err != nil {
		return err
	}
	j, scrub, err := addon.Records(os.Environ())
	if err != nil {
		return misuse{err}
	}
	if *list {
		for _, i := range j.Incidents() {
			ended := "open"
			if !i.Ended.IsZero() {
				ended = i.Ended.Sub(i.Onset).Round(time.Second).String()
			}
			fmt.Fprintf(out, "%-18s %-24s %-10s %s\n", i.ID, i.Cause, ended, report.Attribute(i).Verdict)
		}
		return nil
	}
	d, ok := report.Of(j, id, time.Now(), fullVersion())
	switch {
	case !ok && id == "":
		return errors.New("there is no incident on record")
	case !ok:
		return fmt.Errorf("there is no incident %q on record; `tunnelmedic report --list` lists them", id)
	}
	d.Scrub = scrub
	form := report.Public
	if *private {
		form = report.Private
	}
	fmt.Fprint(out, report.Markdown(d, form))
	return nil
}

// beforeFlags takes the one argument that is no flag, wherever it stands.
func beforeFlags(args []string) (id string, flags []string) {
	i := slices.IndexFunc(args, func(a string) bool { return !strings.HasPrefix(a, "-") })
	if i < 0 {
		return "", args
	}
	return args[i], slices.Delete(slices.Clone(args), i, i+1)
}
