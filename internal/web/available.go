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

	month = 30 * 24 * time.Hour
)

// availableView is how much of the time remote access worked.
type availableView struct {
	Known    bool // enough was watched to say anything
	Figures  []figure
	Days     []rect // one a day, oldest first
	Lost     []cut  // the days on which something was lost, newest first
	Wide     int
	Text     string // the days in words
	Cost     string
	Causes   []cost
	Restarts string
	Bought   bool // there was a restart, so that it can be asked what it bought
}

// figure is a span's share, and what was lost of it.
type figure struct{ Span, Share, Lost string }

// cut is a day on which something was lost.
type cut struct{ Day, Date, Share, Lost string }

// cost is what a cause has cost.
type cost struct{ What, Text string }

func (c clock) available(h journal.History, list []journal.Incident) availableView {
	w := h.Available(c.now, month)
	v := availableView{Cost: c.Say("month.lost-text", words.With{"span": rounded(w.Lost), "ours": rounded(w.LostByUs)})}
	_, v.Known = w.Share()
	c.costs(&v, h, list)
	for _, s := range []struct {
		span time.Duration
		name words.Key
	}{{24 * time.Hour, "page.timeline-day"}, {week, "page.timeline-week"}, {month, "page.available-month"}} {
		share, lost := c.share(h.Available(c.now, s.span))
		v.Figures = append(v.Figures, figure{c.Say(s.name), share, lost})
	}
	days := map[string]journal.Day{}
	for _, d := range h.Days {
		days[d.Date] = d
	}
	today := c.now.UTC().Truncate(24 * time.Hour)
	n := leastDays
	for ; n < shownDays; n++ {
		if len(h.Days) == 0 || h.Days[0].Date > today.AddDate(0, 0, -n).Format(time.DateOnly) {
			break
		}
	}
	v.Wide = n * dayWide
	for i := range n {
		at := today.AddDate(0, 0, i-n+1)
		day := c.Write(words.Moment{At: at, How: words.DayOnly})
		w := days[at.Format(time.DateOnly)].Watch()
		share, lost := c.share(w)
		title := day + ": " + share + prefixed(", ", lost)
		bar := func(y, tall float64, class string) {
			v.Days = append(v.Days, rect{X: dec(float64(i * dayWide)), W: dec(dayWide - 2), Y: dec(y), H: dec(tall), Class: class, Title: title})
		}
		worked, known := w.Share()
		switch {
		case !known:
			bar(dayTall-6, 6, "st-starting")
			continue
		case w.Lost == 0:
			bar(0, dayTall, "st-healthy")
			continue
		}
		// A minute of a day must be seen too: from a tenth of the bar for a moment to all of it for all day.
		red := dayTall * (0.1 + 0.9*(1-worked))
		bar(red, dayTall-red, "st-healthy")
		bar(0, red, "st-holding")
		v.Lost = append([]cut{{Day: day, Date: at.Format(time.DateOnly), Share: share, Lost: lost}}, v.Lost...)
	}
	v.Text = c.Say("page.available-days", words.With{"n": n, "lost": len(v.Lost)})
	return v
}

// costs adds up what each cause cost in a month, the most costly first, and the restarts.
func (c clock) costs(v *availableView, h journal.History, list []journal.Incident) {
	since, lost, restarts := c.now.UTC().Add(24*time.Hour-month).Truncate(24*time.Hour), map[string]time.Duration{}, 0
	for _, d := range h.Days {
		if d.Date < since.Format(time.DateOnly) || d.Date > c.now.UTC().Format(time.DateOnly) {
			continue
		}
		restarts += d.Restarts
		for id, t := range d.LostBy {
			lost[id] += t
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(lost), func(a, b string) int { return cmp.Or(cmp.Compare(lost[b], lost[a]), cmp.Compare(a, b)) }) {
		var cause diagnosis.Cause
		if cause.UnmarshalText([]byte(id)) == nil { // the others are restarts, which the cost names
			v.Causes = append(v.Causes, cost{c.Cause(cause), c.Write(rounded(lost[id]))})
		}
	}
	if v.Bought = restarts > 0; !v.Bought {
		v.Restarts = c.Say("month.none")
		return
	}
	v.Restarts = c.Write(restarts)
	healed := 0
	for _, i := range list {
		if i.Outcome == policy.StepCured && !i.Onset.Before(since) {
			healed++
		}
	}
	if healed > 0 {
		v.Restarts += "; " + c.Say("month.recovery", words.With{"n": healed})
	}
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
	a := v.available
	if a == nil {
		return nil
	}
	var notes g.Node
	if len(v.Notes) > 0 {
		notes = fact(v.Say("page.cloudflare"), g.Map(v.Notes, para), quiet(v.say("page.cloudflare-note")))
	}
	drawn := quiet(v.say("page.available-none"))
	if a.Known {
		drawn = v.availableDays()
	}
	return el("section", class("card wide"), aria("labelledby", "h-available"),
		el("h2", id("h-available"), v.say("month.open")),
		el("div", id("available"), live, drawn, g.If(notes != nil, facts(notes))),
	)
}

func (v *homeView) availableDays() g.Node {
	a := v.available
	causes := g.Map(a.Causes, func(c cost) g.Node { return el("p", text(c.What), aside(c.Text)) })
	return g.Group{
		el("dl", class("figures"), g.Map(a.Figures, func(f figure) g.Node {
			return el("div", el("dt", text(f.Span)), el("dd", el("strong", text(f.Share)), aside(f.Lost)))
		})),
		el("figure",
			stretched("days", a.Wide, dayTall, picture(a.Text), g.Map(a.Days, func(r rect) g.Node { return r.draw(r.Class, el("title", text(r.Title))) })),
			el("figcaption", quiet(v.say("page.available-legend"))),
		),
		g.If(len(a.Lost) > 0, el("details", id("days"), el("summary", v.say("page.available-list")),
			el("ul", class("changes"), g.Map(a.Lost, func(d cut) g.Node {
				return el("li", timeOf(d.Date, d.Day), blank, el("span", text(d.Share)), aside(d.Lost))
			})))),
		el("h3", v.say("page.available-month")),
		facts(
			fact(v.Say("month.lost"), text(a.Cost)),
			g.If(len(causes) > 0, fact(v.Say("month.causes"), causes)),
			fact(v.Say("month.restarts"), text(a.Restarts)),
		),
		g.If(a.Bought, quiet(v.say("page.available-followed"))),
	}
}
