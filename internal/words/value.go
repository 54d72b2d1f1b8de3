package words

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"tunnelmedic/internal/plain"
)

// Count is a number of things, in the form that fits the number. Of is the key of the
// thing, such as "count.restarts".
type Count struct {
	N  int
	Of Key
}

// Share is a part of a whole, from 0 to 1, as a percentage.
type Share float64

// Decimal is a number with one digit behind the mark.
type Decimal float64

// Millis is how long an answer took.
type Millis int64

// Moment is a point in time as people in the house read it.
type Moment struct {
	At  time.Time
	In  *time.Location
	How Precision
}

// Precision is how much of a moment is written.
type Precision uint8

const (
	DayAndHour    Precision = iota // "Wed 25 Nov, 15:04"
	Date                           // "25 November 2026, 15:04"
	HourOnly                       // "15:04:05"
	HourAndMinute                  // "15:04"
	WeekdayHour                    // "Wed 15:04"
	DayOnly                        // "Wed 25 Nov"
	WeekdayMark                    // "Wed 15h", under a drawing
)

// List is several values in a row.
type List []any

// single says whether a number takes the form for one. English, German, Dutch and Spanish
// have it for 1, French for 0 as well (Unicode CLDR, plural rules).
func single(tag string, n any) bool {
	v, ok := whole(n)
	return ok && (v == 1 || v == 0 && tag == "fr")
}

func whole(n any) (int64, bool) {
	switch n := n.(type) {
	case int:
		return int64(n), true
	case int64:
		return n, true
	case uint64:
		return int64(min(n, math.MaxInt64)), true
	}
	return 0, false
}

// Write writes a value by its kind: a count as a number, a time.Duration as hours, minutes
// and seconds; a Moment, a Share or a Text as each says; what others have written (a name,
// an address) as one harmless line; anything else by its String.
func (l *Lang) Write(v any) string {
	if n, ok := whole(v); ok {
		return l.number(n)
	}
	switch v := v.(type) {
	case Text:
		return l.Text(v)
	case Count:
		return l.Say(v.Of, With{"n": v.N})
	case time.Duration:
		return l.span(v)
	case Moment:
		return l.moment(v)
	case Share:
		return l.Say("number.percent", With{"share": digits(l.decimal(100*float64(v), 2))})
	case Decimal:
		return l.decimal(float64(v), 1)
	case Millis:
		if v < 1 {
			return l.Say("span.blink")
		}
		return l.Say("span.millis", With{"n": int64(v)})
	case List:
		return l.row(v)
	case Pieces:
		return strings.Join(l.all(v), ", ")
	case digits:
		return string(v)
	}
	return plain.Sentence(fmt.Sprint(v))
}

// digits are written already.
type digits string

// number writes a whole number, in groups of three from ten thousand on.
func (l *Lang) number(n int64) string {
	s := strconv.FormatInt(n, 10)
	if n < 10_000 && n > -10_000 {
		return s
	}
	group := l.texts["number.group"].other
	for at := len(s) - 3; at > 0 && s[at-1] != '-'; at -= 3 {
		s = s[:at] + group + s[at:]
	}
	return s
}

// decimal writes a number with so many digits behind the mark.
func (l *Lang) decimal(f float64, places int) string {
	return strings.Replace(strconv.FormatFloat(f, 'f', places, 64), ".", l.texts["number.mark"].other, 1)
}

// span writes a length of time in one or two units.
func (l *Lang) span(d time.Duration) string {
	unit := func(n int, key Key) string { return l.Say(key, With{"n": n}) }
	two := func(a string, rest int, key Key) string {
		if rest == 0 {
			return a
		}
		return a + " " + unit(rest, key)
	}
	switch s := int(max(d, 0).Round(time.Second) / time.Second); {
	case s < 60:
		return unit(s, "span.seconds")
	case s < 3600:
		return two(unit(s/60, "span.minutes"), s%60, "span.seconds")
	case s < 86400:
		return two(unit(s/3600, "span.hours"), s%3600/60, "span.minutes")
	default:
		return two(unit(s/86400, "span.days"), s%86400/3600, "span.hours")
	}
}

// moment writes a point in time.
func (l *Lang) moment(m Moment) string {
	t := m.At
	if m.In != nil {
		t = t.In(m.In)
	}
	with := With{"weekday": digits(l.texts["date.weekdays"].list[t.Weekday()]), "day": t.Day(), "year": digits(strconv.Itoa(t.Year())),
		"time": digits(t.Format("15:04")), "hour": digits(t.Format("15")),
		"month": digits(l.texts["date.months"].list[t.Month()-1]), "longmonth": digits(l.texts["date.longmonths"].list[t.Month()-1])}
	switch m.How {
	case Date:
		return l.Say("date.date", with)
	case HourOnly:
		return t.Format("15:04:05")
	case HourAndMinute:
		return t.Format("15:04")
	case DayOnly:
		return l.Say("date.day", with)
	case WeekdayHour:
		return l.Say("date.weekday", with)
	case WeekdayMark:
		return l.Say("date.mark", with)
	case DayAndHour:
	}
	return l.Say("date.moment", with)
}

// Sentences stand one after the other; empty ones are left out.
func Sentences(list ...string) string { return Joined(" ", list...) }

// Joined puts what is not empty together, with something in between.
func Joined(between string, list ...string) string {
	return strings.Join(slices.DeleteFunc(list, func(s string) bool { return s == "" }), between)
}

// row writes values in a row, the last with "and".
func (l *Lang) row(values List) string {
	said := l.all(values)
	if n := len(said); n > 1 {
		return l.Say("list.last", With{"before": digits(strings.Join(said[:n-1], ", ")), "last": digits(said[n-1])})
	}
	return strings.Join(said, "")
}

// all writes each; what comes to nothing is left out.
func (l *Lang) all(values []any) (said []string) {
	for _, v := range values {
		if text := l.Write(v); text != "" {
			said = append(said, text)
		}
	}
	return said
}
