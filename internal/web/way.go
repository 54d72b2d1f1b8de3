package web

import (
	g "maragu.dev/gomponents"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// stops are the stations of the way in, each with the part of the way that leads to it.
var stops = []struct {
	at, to diagnosis.Place
	name   words.Key
	icon   string // "": that of how it is
}{
	{diagnosis.AtVisitors, diagnosis.Nowhere, "page.way.outside", "phone"},
	{diagnosis.AtCloudflare, diagnosis.ToCloudflare, "page.way.cloudflare", ""},
	{diagnosis.AtTunnel, diagnosis.Nowhere, "page.way.tunnel", ""},
	{diagnosis.AtHomeAssistant, diagnosis.ToHomeAssistant, "page.way.home", ""},
}

// sights are how a part of the way looks: the state whose colour and shape it has, and
// the word for it.
var sights = map[diagnosis.Sight]struct {
	class string
	word  words.Key
}{
	diagnosis.Unseen:   {"starting", "page.not-known"},
	diagnosis.Passes:   {"healthy", "page.way.passes"},
	diagnosis.Silent:   {"suspect", "page.way.silent"},
	diagnosis.Breaks:   {"holding", "page.way.breaks"},
	diagnosis.Ends:     {"blind", "page.way.ends"},
	diagnosis.Doubtful: {"suspect", "page.way.doubtful"},
}

// way is the drawing of it.
type way struct{ told }

// section draws the way in from outside, with what was seen of each part of it, and the
// place where it breaks. It is a list: who cannot see the drawing hears it in order.
func (v way) section() g.Node {
	var list g.Group
	for i, s := range stops {
		if s.to != diagnosis.Nowhere && v.Way.Place == s.to {
			list = append(list, v.cut(i))
		}
		list = append(list, v.stop(i))
	}
	return card("wide", "way", v.Say("page.way"), el("div", id("way"), live,
		el("ol", class("way"), list),
		g.If(len(v.Also) > 0, facts(fact(v.Say("page.also"), v.also()))),
	))
}

// stop is a station.
func (v way) stop(i int) g.Node {
	s := stops[i]
	seen := sights[v.Way.Parts[s.at]]
	word := v.Say(seen.word)
	switch {
	case s.at == diagnosis.AtVisitors && v.Way.Parts[s.at] == diagnosis.Unseen:
		word = "" // nobody looks there
	case s.at == diagnosis.AtTunnel && v.State == policy.Treating && v.Trial != nil:
		seen.class, word = "treating", v.Say("page.way.restarting")
		if v.Trial.Settled {
			word = v.Say("page.way.proving")
		}
	}
	shape := seen.class
	if s.icon != "" && word == "" {
		shape = s.icon
	}
	return el("li", class("st-"+seen.class+" "+v.onward(i)), icon(shape),
		el("div",
			el("strong", v.say(s.name)), g.If(word != "", g.Group{blank, el("span", class("badge"), text(word))}),
			v.measured(s.at),
			g.If(v.Way.Place == s.at && seen.class != "treating", para(v.sentence())),
		),
	)
}

// cut is the place between two stations where the way breaks.
func (v way) cut(i int) g.Node {
	seen := sights[v.Way.Parts[stops[i].to]]
	return el("li", class("cut st-"+seen.class+" to-starting"), icon(seen.class),
		el("div", el("span", class("badge"), v.say(seen.word)), para(v.sentence())),
	)
}

// onward is the colour of the line to the next station: that of the part of the way that
// leads there, which for the tunnel is the tunnel.
func (v way) onward(i int) string {
	if i+1 == len(stops) {
		return ""
	}
	next := stops[i+1].to
	if next == diagnosis.Nowhere {
		next = stops[i+1].at
	}
	return "to-" + sights[v.Way.Parts[next]].class
}

// sentence is the cause in a sentence.
func (v way) sentence() string {
	if v.Way.Cause == v.Diagnosis.Cause {
		return v.Diagnosis.Summary
	}
	return v.Cause(v.Way.Cause)
}

// measured is what was last measured at a station.
func (v way) measured(at diagnosis.Place) g.Node {
	p := v.LastProbe
	if at == diagnosis.AtVisitors {
		return g.Group{
			g.If(v.Target.URL != "", el("p", outward(v.Target.URL))),
			g.Iff(p != nil && p.OK, func() g.Node { return quiet(v.say("page.way.took", words.With{"took": words.Millis(p.TookMS)})) }),
		}
	}
	said := ""
	switch d := v.Way.Direct; {
	case at == diagnosis.AtCloudflare && p != nil && v.Way.Parts[diagnosis.ToCloudflare] == diagnosis.Passes:
		said = v.answered(p)
	case at == diagnosis.AtTunnel && v.Way.Parts[at] != diagnosis.Unseen:
		said = v.Write(words.Pieces{v.Protocol.Transport, words.Of("page.way.connections", words.With{"n": v.Protocol.Ready})})
	case at == diagnosis.AtHomeAssistant && d != nil && d.Status != 0:
		said = v.Say("page.way.direct", words.With{"status": d.Status, "took": words.Millis(d.TookMS)})
	case at == diagnosis.AtHomeAssistant && d == nil && v.Way.Core != "":
		said = v.Say("page.way.version", words.With{"version": v.Way.Core})
	}
	return g.If(said != "", quiet(text(said)))
}

// answered is what came back from Cloudflare. What a good check brought, Home Assistant said.
func (v way) answered(p *medic.ProbeStatus) string {
	var said words.Pieces
	if !p.OK && p.Status != 0 {
		said = append(said, words.Of("page.way.answer", words.With{"status": p.Status, "took": words.Millis(p.TookMS)}))
	}
	if p.Colo != "" {
		said = append(said, words.Of("page.way.colo", words.With{"colo": p.Colo}))
	}
	return v.Write(said)
}
