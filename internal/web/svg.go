package web

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	g "maragu.dev/gomponents"
)

// decorative keeps a drawing from screen readers.
var decorative = aria("hidden", "true")

// picture makes a drawing one thing for screen readers, which read its meaning.
func picture(meaning string) g.Node {
	return g.Group{role("img"), aria("label", meaning)}
}

// stretched is a drawing as wide as there is room.
func stretched(kind string, width, height int, inside ...g.Node) g.Node {
	return el("svg", class(kind), viewBox(width, height), attr("preserveAspectRatio", "none"), g.Group(inside))
}

func viewBox(width, height int) g.Node {
	return attr("viewBox", fmt.Sprintf("0 0 %d %d", width, height))
}

func path(d string, more ...g.Node) g.Node {
	return el("path", attr("d", d), g.Group(more))
}

// bar is a rectangle in a drawing. What is nought there need not be written.
func bar(kind string, x, y, width, height float64, more ...g.Node) g.Node {
	return el("rect", g.If(kind != "", class(kind)), g.If(x != 0, attr("x", dec(x))), g.If(y != 0, attr("y", dec(y))),
		attr("width", dec(width)), attr("height", dec(height)), g.Group(more))
}

// dec writes a coordinate with no more digits than can be seen.
func dec(f float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0")
}

// shapes are the states' own, a ground and a mark on it, each drawn once, which icons refer to:
// colour is not the only thing that tells states apart.
//
//go:embed shapes.svg
var shapes string

// icon is a state's shape beside words that say the same.
func icon(state string) g.Node { return el("svg", class("icon"), decorative, shape(state)) }

// speakingIcon is a state's shape where nothing else says what it means.
func speakingIcon(state, meaning string) g.Node {
	return el("svg", class("icon"), picture(meaning), shape(state))
}

func shape(state string) g.Node { return el("use", href("#i-"+state)) }
