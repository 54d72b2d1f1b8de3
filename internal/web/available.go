package web

import (
	"time"

	g "maragu.dev/gomponents"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/report"
	"tunnelmedic/internal/words"
)

// shownDays is how many days are drawn at most, leastDays at least: a first day stands at
// the right edge, and others follow it.
const (
	shownDays = 60
	leastDays = 14
	dayWide   = 10
	dayTall   = 60
)

// availableView is how much of the time remote access worked.
type availableView struct {
	Known    bool // enough was watched to say anything
	Figures  []figure
	Days     []rect // one a day, oldest first
	Lost     []cut  // the days on which something was lost, newest first
	Wide     int
	Text     string // the days in words
	Cost     report.Row
	Causes   []cost
	Restarts report.Row
	Bought   bool // there was a restart, so that it can be asked what it bought
}

// figure is a span's share, and what was lost of it.
type figure struct{ Span, Share, Lost string }

// cut is a day on which something was lost.
type cut struct{ Day, Date, Share, Lost string }

// cost is what a cause has cost.
type cost struct{ What, Text string }

func (c clock) available(h journal.History, list []journal.Incident) availableView {
	m := report.MonthOf(h, list, c.now)
	v := availableView{Cost: m.Cost(c.Lang), Restarts: m.Restarted(c.Lang), Bought: m.Restarts > 0}
	_, v.Known = h.Available(c.now, 30*24*time.Hour).Share()
	for _, s := range []struct {
		span time.Duration
		name words.Key
	}{{24 * time.Hour, "page.timeline-day"}, {week, "page.timeline-week"}, {30 * 24 * time.Hour, "page.available-month"}} {
		share, lost := c.share(h.Available(c.now, s.span))
		v.Figures = append(v.Figures, figure{c.Say(s.name), share, lost})
	}
	for _, by := range m.Causes {
		var cause diagnosis.Cause
		if cause.UnmarshalText([]byte(by.Cause)) == nil { // the others are restarts, which the cost names
			v.Causes = append(v.Causes, cost{c.Cause(cause), c.Write(report.Rounded(by.Lost))})
		}
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
	return c.Write(words.Share(min(s, 0.9999))), c.Say("page.available-lost", words.With{"span": report.Rounded(w.Lost)})
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
			fact(a.Cost.What, text(a.Cost.Text)),
			g.If(len(causes) > 0, fact(v.Say("month.causes"), causes)),
			fact(a.Restarts.What, text(a.Restarts.Text)),
		),
		g.If(a.Bought, quiet(v.say("page.available-followed"))),
	}
}
