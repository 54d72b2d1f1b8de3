package web

import (
	_ "embed"

	g "maragu.dev/gomponents"
)

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
