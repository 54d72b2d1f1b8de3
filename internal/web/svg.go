package web

import (
	"fmt"

	g "maragu.dev/gomponents"
)

// decorative keeps a drawing from screen readers, and from the Tab key.
var decorative = g.Group{aria("hidden", "true"), attr("focusable", "false")}

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

// draw is the rectangle in a drawing. One without X and Y begins at the corner.
func (r rect) draw(kind string, more ...g.Node) g.Node {
	return el("rect", class(kind),
		g.If(r.X != "", attr("x", r.X)), g.If(r.Y != "", attr("y", r.Y)),
		attr("width", r.W), attr("height", r.H), g.Group(more))
}
