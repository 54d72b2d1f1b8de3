package web

import (
	"net/url"
	"strings"

	g "maragu.dev/gomponents"
)

// document is a whole page around what it shows.
func (f *frame) document(content ...g.Node) g.Node {
	return g.Group{g.Raw("<!doctype html>"), el("html", attr("lang", f.Tag), attr("data-state", f.Class),
		el("head",
			el("meta", attr("charset", "utf-8")),
			el("meta", attr("name", "viewport"), attr("content", "width=device-width, initial-scale=1, viewport-fit=cover")),
			el("meta", attr("name", "color-scheme"), attr("content", "light dark")),
			el("meta", attr("name", "token"), attr("content", f.Token)),
			el("title", text(f.Title)),
			el("link", attr("rel", "icon"), href(f.Icon)),
			el("link", attr("rel", "stylesheet"), href(f.Style)),
			el("script", attr("src", f.Script), attr("defer")),
		),
		el("body",
			g.Raw(shapes),
			el("main", attr("data-base", f.Base), g.Group(content)),
		),
	)}
}

// form is a button that asks the program for something. What it has beside the
// page's token comes with it: fields, the button, marks for the script.
func (f *frame) form(ask string, more ...g.Node) g.Node {
	return el("form", attr("method", "post"), attr("action", f.Base+"api/"+ask), field("token", f.Token), g.Group(more))
}

func field(name, value string) g.Node {
	return el("input", attr("type", "hidden"), attr("name", name), attr("value", value))
}

// quiet is a line that is not the first to be read, note the like within a line.
func quiet(content ...g.Node) g.Node { return el("p", class("quiet"), g.Group(content)) }
func note(remark string) g.Node      { return el("span", class("quiet"), text(remark)) }

// aside is a note behind something more important; "" is none.
func aside(remark string) g.Node { return g.If(remark != "", g.Group{blank, note(remark)}) }

func para(line string) g.Node { return el("p", text(line)) }

// blank parts words that stand in elements of their own.
var blank = text(" ")

// prefixed puts words before a text that may be missing, and is missing then too.
func prefixed(words, rest string) string {
	if rest == "" {
		return ""
	}
	return words + rest
}

// card is a section under a title of its own.
func card(kind, name, title string, content ...g.Node) g.Node {
	return el("section", class(strings.TrimSpace("card "+kind)), aria("labelledby", "h-"+name), el("h2", id("h-"+name), text(title)), g.Group(content))
}

// news is a section that is there while it has something to say; the script brings it up to date.
func news(name, label string, some bool, content ...g.Node) g.Node {
	return el("section", id(name), class("card wide"), live, hiddenIf(!some), aria("label", label), g.Group(content))
}

// facts is a list of names and values; fact is one of them.
func facts(content ...g.Node) g.Node { return el("dl", class("facts"), g.Group(content)) }

func fact(what string, value ...g.Node) g.Node {
	return el("div", el("dt", text(what)), el("dd", value...))
}

func timeOf(iso, words string) g.Node { return el("time", attr("datetime", iso), text(words)) }

// incidentPath is where an incident has its page.
func (f *frame) incidentPath(id string) string { return f.Base + "incidents/" + url.PathEscape(id) }

// screen links to a screen of Home Assistant's, which takes the place of the page with all that is
// around it; what has no path stays text.
func screen(path, words string) g.Node {
	if path == "" {
		return text(words)
	}
	return el("a", href(path), attr("target", "_top"), text(words))
}

// outward links to an address that came from elsewhere. What a browser would run
// instead of opening it, as it does with javascript:, stays text.
func outward(address string) g.Node {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return text(address)
	}
	return el("a", href(u.String()), attr("target", "_blank"), attr("rel", "noopener noreferrer"), text(address))
}

// The page's HTML is made of elements, attributes and text; whatever is put into the
// latter two is escaped. They are variables because the compiler copies a function
// that it knows, a kilobyte each time, into the hundreds of places that call it.
var (
	el   = g.El
	attr = g.Attr
	text = g.Text
)

func id(name string) g.Node          { return attr("id", name) }
func class(names string) g.Node      { return attr("class", names) }
func href(address string) g.Node     { return attr("href", address) }
func role(name string) g.Node        { return attr("role", name) }
func aria(name, value string) g.Node { return attr("aria-"+name, value) }

func hiddenIf(nothing bool) g.Node { return g.If(nothing, attr("hidden")) }

// stateClass gives colour to what speaks of a state.
func stateClass(state string) g.Node { return class("st-" + state) }

// Marks for the script, which brings up to date what is live and makes of a form
// that acts a request of its own.
var (
	live = attr("data-live")
	acts = attr("data-act")
)
