package web

import (
	"maps"
	"slices"
	"time"

	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// clock writes what people read, in their language, and times as the house has them.
type clock struct {
	*words.Lang
	now time.Time
	loc *time.Location
}

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

func (c clock) step(s policy.Step) stepView {
	return stepView{At: c.Write(c.hour(s.At)), ISO: s.At.Format(time.RFC3339), Kind: s.Kind.String(), Class: stepClass(s.Kind), Text: c.Step(s)}
}

// stateWord is the state's name for people.
func (c clock) stateWord(p policy.Phase) string { return c.Text(words.State(p)) }

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
