package web

import g "maragu.dev/gomponents"

// shapes are the states' own, a ground and a mark on it: colour is not the only
// thing that tells states apart.
var shapes = []struct {
	state  string
	ground g.Node
	mark   string
}{
	{"healthy", disc, "M7 12.5l3.4 3.4L17.2 9"},
	{"suspect", path("M12 2.6 22.6 21H1.4z"), "M12 9.5v5M12 17.6v.2"},
	{"treating", el("rect", attr("x", "2"), attr("y", "2"), attr("width", "20"), attr("height", "20"), attr("rx", "5")), "M12 7v10M7 12h10"},
	{"holding", path("M8 2h8l6 6v8l-6 6H8l-6-6V8z"), "M8.3 8.3l7.4 7.4M15.7 8.3l-7.4 7.4"},
	{"observing", path("M12 1.5 22.5 12 12 22.5 1.5 12z"), "M12 7v6M12 16.4v.2"},
	{"blind", path("M1.5 12S5.3 5 12 5s10.5 7 10.5 7-3.8 7-10.5 7S1.5 12 1.5 12z"), "M5 19.5 19 4.5"},
	{"paused", disc, "M9.5 8v8M14.5 8v8"},
	{"starting", disc, "M7 12h.1M12 12h.1M17 12h.1"},
	{"phone", el("rect", attr("x", "5"), attr("y", "1"), attr("width", "14"), attr("height", "22"), attr("rx", "3")), "M10.5 19h3"},
}

var disc = el("circle", attr("cx", "12"), attr("cy", "12"), attr("r", "10"))

// sprite holds each shape once; icons refer to it.
var sprite = func() g.Node {
	var symbols g.Group
	for _, s := range shapes {
		symbols = append(symbols, el("symbol", id("i-"+s.state), viewBox(24, 24), s.ground, path(s.mark, class("m"))))
	}
	return el("svg", class("sprite"), decorative, symbols)
}()

// icon is a state's shape beside words that say the same.
func icon(state string) g.Node { return el("svg", class("icon"), decorative, shape(state)) }

// speakingIcon is a state's shape where nothing else says what it means.
func speakingIcon(state, meaning string) g.Node {
	return el("svg", class("icon"), picture(meaning), shape(state))
}

func shape(state string) g.Node { return el("use", href("#i-"+state)) }
