package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/plain"
	"tunnelmedic/internal/words"
)

// say says it in English, as all of a report is.
func say(key words.Key, with ...words.With) string { return words.English().Say(key, with...) }

// line makes a text one line in which Markdown and HTML mean nothing. An address stays
// readable: the public form has a placeholder in its place.
func line(s string) string { return plain.Inert(s) }

// bullets writes a list. What is foreign in it has gone through line.
func bullets(b *strings.Builder, list []string) {
	for _, l := range list {
		b.WriteString("- " + l + "\n")
	}
}

// fenced puts a text into a code block that it cannot end.
func fenced(s string) string {
	fence := "```"
	for strings.Contains(s, fence) {
		fence += "`"
	}
	s = strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) { // bidi overrides too
			return '·'
		}
		return r
	}, s)
	return fence + "text\n" + strings.TrimRight(s, "\n") + "\n" + fence + "\n"
}

func flag(p evidence.Protocol) string { return cmp.Or(p.Flag(), say("report.no-setting")) }

func transport(t evidence.Transport) string { return cmp.Or(t.String(), say("page.not-known")) }

func utc(t time.Time) string {
	if t.IsZero() {
		return say("page.not-known")
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func short(t time.Time) string { return t.UTC().Format("01-02 15:04:05") }

func checks(n int) words.Count { return words.Count{N: n, Of: "count.checks"} }

func setting(s *evidence.Setting) string {
	switch {
	case s == nil:
		return ""
	case s.Modified.IsZero():
		return s.Value
	}
	return s.Value + ", since " + utc(s.Modified)
}

// colos are the data centres that good or failed checks met.
func colos(runs []journal.Run, ok bool) (names []string) {
	for _, r := range runs {
		if r.OK == ok && r.Colo != "" && !slices.Contains(names, r.Colo) {
			names = append(names, r.Colo)
		}
	}
	return names
}

func outcome(r journal.Run) string {
	switch {
	case r.OK:
		return "good"
	case r.Status != 0:
		return fmt.Sprintf("%s, HTTP %d", r.Cause, r.Status)
	}
	return r.Cause.String() + ", no answer"
}

// rays are a run's first and last cf-ray: what Cloudflare's support asks for.
func rays(r journal.Run) string {
	switch {
	case r.First == "":
		return ""
	case r.First == r.Last || r.Last == "":
		return "`" + r.First + "`"
	}
	return "`" + r.First + "` … `" + r.Last + "`"
}

func deref(a *journal.Answer) journal.Answer {
	if a == nil {
		return journal.Answer{}
	}
	return *a
}
