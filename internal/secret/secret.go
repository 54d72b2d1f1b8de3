// Package secret keeps secrets out of everything that people read. A Keeper
// knows them and cuts them out of any text on its way to a log, a notification,
// a page, a report or an error, so that no call site can forget to.
package secret

import (
	"bytes"
	"encoding/json"
	"html"
	"io"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
)

// Mark is what stands where a secret stood.
const Mark = "[hidden]"

// minLength keeps short values (a user name "a") from blanking ordinary words.
const minLength = 6

// shapes are secrets recognisable without knowing them: credentials in a URL,
// bearer tokens, JSON web tokens (Home Assistant's and cloudflared's tunnel tokens begin so).
var shapes = regexp.MustCompile(`://[^/\s"']+@|(?i:bearer\s+)[A-Za-z0-9._~+/=-]{6,}|\beyJ[A-Za-z0-9+/_-]{12,}(?:\.[A-Za-z0-9_=-]+|=)*`)

// Keeper knows the secrets of this process. The zero value is ready to use, and
// it may be used by several goroutines at once.
type Keeper struct {
	mu    sync.RWMutex
	known []string // longest first, so that a secret within a secret leaves nothing behind
}

// Add makes the keeper know secrets; empty and very short ones are passed over.
func (k *Keeper) Add(secrets ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range secrets {
		s = strings.TrimSpace(s) // what was pasted with a blank is used without it
		// A secret inside a URL, a page, or a JSON string is written otherwise there.
		for _, form := range []string{s, url.QueryEscape(s), url.PathEscape(s), html.EscapeString(s), jsonEscape(s, false), jsonEscape(s, true)} {
			if len(form) >= minLength && !slices.Contains(k.known, form) {
				k.known = append(k.known, form)
			}
		}
	}
	sort.SliceStable(k.known, func(i, j int) bool { return len(k.known[i]) > len(k.known[j]) })
}

// Scrub gives the text without the secrets.
func (k *Keeper) Scrub(text string) string { return string(k.ScrubBytes([]byte(text))) }

// ScrubBytes gives the text without the secrets. It may return its argument.
func (k *Keeper) ScrubBytes(text []byte) []byte {
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, s := range k.known {
		if bytes.Contains(text, []byte(s)) {
			text = bytes.ReplaceAll(text, []byte(s), []byte(Mark))
		}
	}
	if shaped(text) && shapes.Match(text) {
		text = shapes.ReplaceAllFunc(text, func(m []byte) []byte {
			if bytes.HasSuffix(m, []byte("@")) {
				return []byte("://" + Mark + "@")
			}
			if i := bytes.IndexAny(m, " \t"); i >= 0 {
				return append(append([]byte{}, m[:i+1]...), Mark...)
			}
			return []byte(Mark)
		})
	}
	return text
}

// shaped says whether a text may hold one of the shapes: the expression takes sixty times as
// long to find none, and all that is written or shown comes by.
func shaped(text []byte) bool {
	if bytes.Contains(text, []byte("eyJ")) || bytes.Contains(text, []byte("://")) && bytes.IndexByte(text, '@') >= 0 {
		return true
	}
	const bearer = "bearer"
	for i := range len(text) - len(bearer) {
		if (text[i] == 'b' || text[i] == 'B') && bytes.EqualFold(text[i:i+len(bearer)], []byte(bearer)) {
			return true
		}
	}
	return false
}

// Writer scrubs each Write on its way to w. A record must come in one Write, as
// zerolog's do: a secret split over two Writes would not be seen.
func (k *Keeper) Writer(w io.Writer) io.Writer { return scrubbing{k, w} }

type scrubbing struct {
	k *Keeper
	w io.Writer
}

// Write reports the caller's length, as io.Writer asks, whatever was cut out.
func (s scrubbing) Write(p []byte) (int, error) {
	if _, err := s.w.Write(s.k.ScrubBytes(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// jsonEscape gives a text as it stands between the quotes of a JSON string; some
// writers escape <, > and & as well.
func jsonEscape(s string, forHTML bool) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(forHTML)
	if e.Encode(s) != nil {
		return s
	}
	return strings.Trim(strings.TrimSpace(b.String()), `"`)
}
