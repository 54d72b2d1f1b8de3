package evidence

import (
	"net/http"
	"strings"
)

// Frontend is Home Assistant's start page, through the public name and directly, and the
// entry scripts that the two name. A page that an older Home Assistant made names scripts
// that are gone: it stays white, while every WebSocket is fine.
type Frontend struct {
	Page   Look   // the start page, through the public name
	Script string // the entry script that it names, a path; "" if it names none
	Entry  Look   // that script, through the public name

	OwnPage   Look   // the start page, straight from Home Assistant
	OwnScript string // the entry script that this one names
	OwnEntry  Look   // that script, straight from Home Assistant
	OldEntry  Look   // Script, straight from Home Assistant, where the two differ

	// Elsewhere says that another Home Assistant answers through the public name than
	// directly, by their versions: then the pages cannot be compared.
	Elsewhere bool
}

// Done says whether the start page was asked for.
func (f Frontend) Done() bool { return f.Page.Done() }

// Cached says that Cloudflare gave the start page from its cache, asking Home Assistant or not.
func (f Frontend) Cached() bool {
	return f.Script != "" && (f.Page.FromCache() || strings.EqualFold(f.Page.HeaderValue("Cf-Cache-Status"), "REVALIDATED"))
}

// Stale says that the public name gives a start page, or a 404 for its script, that
// Home Assistant itself does not give. While Home Assistant is being updated it may not
// know its own script for a moment: then nothing is said.
func (f Frontend) Stale() bool {
	if f.Script == "" || f.Page.CFRay() == "" || f.Elsewhere {
		return false
	}
	if !f.OwnPage.Done() {
		return f.Cached() && gone(f.Entry) && !f.OwnEntry.Done()
	}
	if f.OwnScript == "" || f.OwnEntry.Status != http.StatusOK {
		return false
	}
	if f.Script == f.OwnScript {
		return gone(f.Entry)
	}
	return gone(f.OldEntry)
}

// gone says that a script is not there any more.
func gone(l Look) bool {
	return l.Stage == Answered && (l.Status == http.StatusNotFound || l.Status == http.StatusGone)
}
