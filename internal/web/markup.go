package web

import g "maragu.dev/gomponents"

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
