package web

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"tunnelmedic/internal/policy"
)

// clock writes times as people in the house read them.
type clock struct {
	now time.Time
	loc *time.Location
}

// hour is the hour of the day, with the day where it is another one.
func (c clock) hour(t time.Time) string {
	if c.now.In(c.loc).Format(time.DateOnly) != t.In(c.loc).Format(time.DateOnly) {
		return t.In(c.loc).Format("Mon 15:04")
	}
	return t.In(c.loc).Format("15:04:05")
}

func (c clock) day(t time.Time) string    { return t.In(c.loc).Format("2 January 2006, 15:04") }
func (c clock) moment(t time.Time) string { return t.In(c.loc).Format("Mon 2 Jan, 15:04") }

// span is a length of time in one or two units.
func (c clock) span(d time.Duration) string {
	d = max(d, 0)
	two := func(a int, an string, b int, bn string) string {
		if b == 0 {
			return fmt.Sprintf("%d %s", a, an)
		}
		return fmt.Sprintf("%d %s %d %s", a, an, b, bn)
	}
	switch s := int(d.Round(time.Second) / time.Second); {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return two(s/60, "min", s%60, "s")
	case s < 86400:
		return two(s/3600, "h", s%3600/60, "min")
	default:
		return two(s/86400, "d", s%86400/3600, "h")
	}
}

func (c clock) step(s policy.Step) stepView {
	return stepView{At: c.hour(s.At), ISO: s.At.Format(time.RFC3339), Kind: string(s.Kind), Class: stepClass(s.Kind), Text: s.Text}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// millis writes a latency; the space in it does not break.
func millis(ms int64) string {
	if ms < 1 {
		return "less than 1\u00a0ms"
	}
	return strconv.FormatInt(ms, 10) + "\u00a0ms"
}
