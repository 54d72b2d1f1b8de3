package web

import (
	"cmp"
	"maps"
	"slices"
	"time"

	g "maragu.dev/gomponents"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// shownDays is how many days are drawn at most, leastDays at least: a first day stands at
// the right edge, and others follow it.
const (
	shownDays = 60
	leastDays = 14
	dayWide   = 10
	dayTall   = 60

	day   = 24 * time.Hour
	month = 30 * day
)

// available says how much of the time remote access worked, and what the rest of it cost.
func (c clock) available(h journal.History, past []journal.Incident) g.Node {
	of := h.Available(c.now, month)
	if _, known := of.Share(); !known {
		return quiet(c.say("page.available-none"))
	}
	figure := func(name words.Key, span time.Duration) g.Node {
		share, lost := c.share(h.Available(c.now, span))
		return el("div", el("dt", c.say(name)), el("dd", el("strong", text(share)), aside(lost)))
	}
	lost, restarts := c.account(h)
	causes := c.causes(lost)
	return g.Group{
		el("dl", class("figures"), figure("page.timeline-day", day), figure("page.timeline-week", week), figure("page.available-month", month)),
		c.days(h),
		el("h3", c.say("page.available-month")),
		facts(
			fact(c.Say("month.lost"), c.say("month.lost-text", words.With{"span": rounded(of.Lost), "ours": rounded(of.LostByUs)})),
			g.If(len(causes) > 0, fact(c.Say("month.causes"), causes)),
			fact(c.Say("month.restarts"), text(c.restarts(restarts, past))),
		),
		g.If(restarts > 0, quiet(c.say("page.available-followed"))), // it can be asked what they bought
	}
}

// days draws a bar for each day, and lists those on which something was lost, newest first.
func (c clock) days(h journal.History) g.Node {
	known, today, n := map[string]journal.Day{}, c.now.UTC().Truncate(day), leastDays
	for _, d := range h.Days {
		known[d.Date] = d
	}
	for len(h.Days) > 0 && n < shownDays && h.Days[0].Date <= today.AddDate(0, 0, -n).Format(time.DateOnly) {
		n++
	}
	var bars, cuts g.Group
	for i := range n {
		at := today.AddDate(0, 0, i-n+1)
		date, name := at.Format(time.DateOnly), c.Write(words.Moment{At: at, How: words.DayOnly})
		w := known[date].Watch()
		share, lost := c.share(w)
		title := el("title", text(name+": "+share+prefixed(", ", lost)))
		add := func(y, tall float64, class string) {
			bars = append(bars, bar(class, float64(i*dayWide), y, dayWide-2, tall, title))
		}
		worked, watched := w.Share()
		switch {
		case !watched:
			add(dayTall-6, 6, "st-starting")
			continue
		case w.Lost == 0:
			add(0, dayTall, "st-healthy")
			continue
		}
		// A minute of a day must be seen too: from a tenth of the bar for a moment to all of it for all day.
		red := dayTall * (0.1 + 0.9*(1-worked))
		add(red, dayTall-red, "st-healthy")
		add(0, red, "st-holding")
		cuts = append(g.Group{el("li", timeOf(date, name), blank, el("span", text(share)), aside(lost))}, cuts...)
	}
	return g.Group{
		el("figure",
			stretched("days", n*dayWide, dayTall, picture(c.Say("page.available-days", words.With{"n": n, "lost": len(cuts)})), bars),
			el("figcaption", quiet(c.say("page.available-legend"))),
		),
		g.If(len(cuts) > 0, el("details", id("days"), el("summary", c.say("page.available-list")), el("ul", class("changes"), cuts))),
	}
}

// monthBegan is the first day of the month that the page speaks of.
func (c clock) monthBegan() time.Time { return c.now.UTC().Add(day - month).Truncate(day) }

// account adds up what each cause cost in a month, and the restarts.
func (c clock) account(h journal.History) (lost map[string]time.Duration, restarts int) {
	lost = map[string]time.Duration{}
	for _, d := range h.Days {
		if d.Date >= c.monthBegan().Format(time.DateOnly) && d.Date <= c.now.UTC().Format(time.DateOnly) {
			restarts += d.Restarts
			for id, t := range d.LostBy {
				lost[id] += t
			}
		}
	}
	return lost, restarts
}

// causes are what each has cost, the most costly first.
func (c clock) causes(lost map[string]time.Duration) (list g.Group) {
	for _, id := range slices.SortedFunc(maps.Keys(lost), func(a, b string) int { return cmp.Or(cmp.Compare(lost[b], lost[a]), cmp.Compare(a, b)) }) {
		var cause diagnosis.Cause
		if cause.UnmarshalText([]byte(id)) == nil { // the others are restarts, which the cost names
			list = append(list, el("p", text(c.Cause(cause)), aside(c.Write(rounded(lost[id])))))
		}
	}
	return list
}

// restarts says how many there were, and how often one helped.
func (c clock) restarts(n int, past []journal.Incident) string {
	if n == 0 {
		return c.Say("month.none")
	}
	healed := 0
	for _, i := range past {
		if i.Outcome == policy.StepCured && !i.Onset.Before(c.monthBegan()) {
			healed++
		}
	}
	if healed == 0 {
		return c.Write(n)
	}
	return c.Write(n) + "; " + c.Say("month.recovery", words.With{"n": healed})
}

// rounded leaves out what an estimate does not know: of minutes and hours the seconds.
func rounded(d time.Duration) time.Duration {
	if d < time.Minute {
		return d.Round(time.Second)
	}
	return d.Round(time.Minute)
}

// share says how much of a stretch was there, and what was cut off of it, "" for nothing.
// What is not all is never rounded to all.
func (c clock) share(w journal.Watch) (share, lost string) {
	s, known := w.Share()
	if !known {
		return c.Say("page.available-unknown"), ""
	}
	if w.Lost == 0 {
		return c.Write(words.Share(1)), ""
	}
	return c.Write(words.Share(min(s, 0.9999))), c.Say("page.available-lost", words.With{"span": rounded(w.Lost)})
}

func (v *homeView) availableSection() g.Node {
	return card("wide", "available", v.Say("month.open"), el("div", id("available"), live,
		v.available,
		g.If(len(v.Notes) > 0, facts(fact(v.Say("page.cloudflare"), g.Map(v.Notes, para), quiet(v.say("page.cloudflare-note"))))),
	))
}
