package web

import (
	"time"

	g "maragu.dev/gomponents"

	"tunnelmedic/internal/words"
)

// clock writes what people read, in their language, and times as the house has them.
type clock struct {
	*words.Lang
	now time.Time
	loc *time.Location
}

// say is a sentence of the page's.
func (c clock) say(key words.Key, with ...words.With) g.Node { return text(c.Say(key, with...)) }

func (c clock) at(t time.Time, how words.Precision) words.Moment {
	return words.Moment{At: t, In: c.loc, How: how}
}

// hour is the hour of the day, with the day where it is another one.
func (c clock) hour(t time.Time) words.Moment {
	if c.now.In(c.loc).Format(time.DateOnly) != t.In(c.loc).Format(time.DateOnly) {
		return c.at(t, words.WeekdayHour)
	}
	return c.at(t, words.HourOnly)
}

func (c clock) moment(t time.Time) string { return c.Write(c.at(t, words.DayAndHour)) }

func (c clock) time(m words.Moment) g.Node { return timeOf(m.At.Format(time.RFC3339), c.Write(m)) }
