package report

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/plain"
	"tunnelmedic/internal/policy"
)

// summaryOf gives the cause's sentence from the catalogue.
func summaryOf(i journal.Incident) string {
	for _, r := range diagnosis.Catalogue() {
		if r.Cause == i.Cause {
			return r.Summary
		}
	}
	return i.Cause.String()
}

// cell makes a text safe for a table.
func cell(s string) string { return line(s) }

// line makes a text one line in which Markdown and HTML mean nothing. An address stays
// readable: the public form has a placeholder in its place.
func line(s string) string { return plain.Inert(s) }

// fenced puts a text into a code block that it cannot end.
func fenced(s string) string {
	fence, run := 3, 0
	for _, r := range s {
		if run++; r != '`' {
			run = 0
		}
		fence = max(fence, run+1)
	}
	f := strings.Repeat("`", fence)
	s = strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) { // bidi overrides too
			return '·'
		}
		return r
	}, s)
	return f + "text\n" + strings.TrimRight(s, "\n") + "\n" + f + "\n"
}

func upper(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}

func flag(p evidence.Protocol) string {
	if p == evidence.Default {
		return "no setting (auto)"
	}
	return p.Flag()
}

func transport(t evidence.Transport) string {
	if t == evidence.NoTransport {
		return "not known"
	}
	return t.String()
}

func short(t time.Time) string { return t.UTC().Format("01-02 15:04:05") }

func stamp(t time.Time) string {
	if t.IsZero() {
		return "not known"
	}
	return utc(t)
}

func brackets(s string) string {
	if s == "" {
		return ""
	}
	return "(" + s + ")"
}

func setting(s *evidence.Setting) string {
	switch {
	case s == nil:
		return ""
	case s.Modified.IsZero():
		return s.Value
	}
	return s.Value + " since " + utc(s.Modified)
}

func sessions(c evidence.TunnelClient) string {
	var list []string
	for _, s := range c.Sessions {
		one := s.Colo
		if !s.Opened.IsZero() {
			one += " since " + s.Opened.UTC().Format("15:04:05")
		}
		if s.Pending {
			one += " (gone, expected back)"
		}
		list = append(list, one)
	}
	return strings.Join(list, ", ")
}

// slug of the watched add-on, as the evidence names it.
func slug(i journal.Incident) string {
	for _, s := range append([]journal.Snapshot{{Seen: i.Seen}}, i.Account.Snapshots...) {
		if name, _, _ := strings.Cut(s.Seen["addon"], " "); name != "" {
			return name
		}
	}
	return ""
}

// colos are the data centres that answered probes, failed and good ones apart.
func colos(i journal.Incident) []string {
	var names []string
	good, bad := map[string]bool{}, map[string]bool{}
	for _, r := range i.Account.Runs {
		if r.Colo == "" {
			continue
		}
		if !slices.Contains(names, r.Colo) {
			names = append(names, r.Colo)
		}
		good[r.Colo], bad[r.Colo] = good[r.Colo] || r.OK, bad[r.Colo] || !r.OK
	}
	for n, name := range names {
		switch {
		case good[name] && bad[name]:
			names[n] += " (failed and good probes)"
		case bad[name]:
			names[n] += " (failed probes)"
		default:
			names[n] += " (good probes)"
		}
	}
	return names
}

func outcome(r journal.Run) string {
	if r.OK {
		return "good"
	}
	if r.Status != 0 {
		return fmt.Sprintf("%s, HTTP %d", r.Cause, r.Status)
	}
	return r.Cause.String() + ", no answer"
}

func raysOf(r journal.Run) string {
	switch {
	case r.First == "" && r.Last == "":
		return "none"
	case r.First == r.Last || r.Last == "":
		return "`" + r.First + "`"
	}
	return "`" + r.First + "` … `" + r.Last + "`"
}

func edges(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return ", to the edge at " + strings.Join(list, ", ")
}

func restsOn(s string) string {
	if s == "" {
		return ""
	}
	return ", which rests on: " + line(strings.TrimSuffix(s, "."))
}

func seenLines(seen map[string]string) []string {
	var list []string
	for k, v := range seen {
		list = append(list, k+": "+v)
	}
	slices.Sort(list)
	return list
}

func why(p policy.Purpose) string {
	//exhaustive:ignore
	switch p {
	case policy.Trial:
		return "may help"
	case policy.Restore:
		return "own setting goes back"
	case policy.Failback:
		return "own setting tried again"
	case policy.Return:
		return "that was not well"
	case policy.ByHand:
		return "a person wished to try it"
	case policy.HandBack:
		return "it did not hold"
	}
	return cell(string(p))
}
