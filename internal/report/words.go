package report

import (
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/plain"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// summaryOf gives the cause's sentence from the catalogue.
func summaryOf(i journal.Incident) string {
	return words.English().Cause(i.Cause)
}

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
		return say("report.no-setting")
	}
	return p.Flag()
}

func transport(t evidence.Transport) string {
	if t == evidence.NoTransport {
		return say("page.not-known")
	}
	return t.String()
}

func short(t time.Time) string { return t.UTC().Format("01-02 15:04:05") }

func setting(s *evidence.Setting) string {
	switch {
	case s == nil:
		return ""
	case s.Modified.IsZero():
		return s.Value
	}
	return say("report.since", words.With{"what": s.Value, "at": utc(s.Modified)})
}

func sessions(c evidence.TunnelClient) string {
	var list []string
	for _, s := range c.Sessions {
		one := s.Colo
		if !s.Opened.IsZero() {
			one = say("report.since", words.With{"what": one, "at": s.Opened.UTC().Format("15:04:05")})
		}
		if s.Pending {
			one += " " + say("report.gone")
		}
		list = append(list, one)
	}
	return strings.Join(list, ", ")
}

// colos are the data centres that answered checks, failed and good ones apart.
func colos(i journal.Incident) (names []string) {
	met := map[string][2]bool{} // good ones, failed ones
	for _, r := range i.Account.Runs {
		if r.Colo != "" {
			m := met[r.Colo]
			met[r.Colo] = [2]bool{m[0] || r.OK, m[1] || !r.OK}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(met)) {
		key := map[[2]bool]words.Key{{true, true}: "report.colo.both", {false, true}: "report.colo.failed", {true, false}: "report.colo.good"}[met[name]]
		names = append(names, say(key, words.With{"place": name}))
	}
	return names
}

func outcome(r journal.Run) string {
	if r.OK {
		return say("report.outcome.good")
	}
	if r.Status != 0 {
		return say("report.outcome.answer", words.With{"cause": r.Cause, "status": r.Status})
	}
	return say("report.outcome.silent", words.With{"cause": r.Cause})
}

// firstRay is the cf-ray of the first check that failed: what Cloudflare's support asks for.
func firstRay(i journal.Incident) string {
	for _, r := range i.Account.Runs {
		if !r.OK && r.First != "" {
			return r.First
		}
	}
	return ""
}

func raysOf(r journal.Run) string {
	switch {
	case r.First == "" && r.Last == "":
		return say("report.none")
	case r.First == r.Last || r.Last == "":
		return "`" + r.First + "`"
	}
	return "`" + r.First + "` … `" + r.Last + "`"
}

// purposes say why a change was made.
var purposes = map[policy.Purpose]words.Key{
	policy.Trial: "report.purpose.trial", policy.Restore: "report.purpose.restore", policy.Failback: "report.purpose.failback", policy.Return: "report.purpose.return",
	policy.ByHand: "report.purpose.by-hand", policy.HandBack: "report.purpose.hand-back", policy.Revive: "report.purpose.revive",
}

func utc(t time.Time) string {
	if t.IsZero() {
		return say("page.not-known")
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// say says it in English, as all of a report is.
func say(key words.Key, with ...words.With) string { return words.English().Say(key, with...) }

func checkCount(n int) words.Count { return words.Count{N: n, Of: "count.checks"} }

func long(d time.Duration) string { return words.English().Write(d.Abs()) }
