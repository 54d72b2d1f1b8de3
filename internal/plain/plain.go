// Package plain makes foreign text harmless where people read it. An app's name, a
// version, a host name, a page's words, a line of somebody's log: whoever wrote them
// may have put in a line break that forges a log line, an escape that paints a
// terminal, a mark that turns the reading direction, or a link. Rooms that show text
// let it pass through here.
package plain

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// How long a text may be, in runes. A name is a label; a sentence is what a
// diagnosis, a step or an error says; a log line is the longest that is read.
const (
	NameLimit     = 80
	SentenceLimit = 1500
	LogLimit      = 4000
)

// Line gives a text as one line of at most limit runes: blanks of every kind become
// one space; control characters, terminal escapes and marks that cannot be seen or
// that turn the reading direction are gone; what is no UTF-8 becomes "?".
func Line(s string, limit int) string {
	if clean(s) && utf8.RuneCountInString(s) <= limit {
		return s
	}
	var b strings.Builder
	for _, word := range strings.Fields(strings.ToValidUTF8(s, "?")) {
		word = strings.Map(func(r rune) rune {
			if unseen(r) {
				return -1
			}
			return r
		}, word)
		if word != "" && b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(word)
	}
	line := b.String()
	if utf8.RuneCountInString(line) <= limit {
		return line
	}
	return strings.TrimRight(string([]rune(line)[:limit-1]), " ") + "…"
}

// Name is Line for a label: an app's name, a version, a person's name.
func Name(s string) string { return Line(s, NameLimit) }

// Sentence is Line for what is told.
func Sentence(s string) string { return Line(s, SentenceLimit) }

// clean says whether a text needs nothing: the common case.
func clean(s string) bool {
	before := rune(' ') // no blank at the beginning
	for i, r := range s {
		if r == utf8.RuneError || r != ' ' && (unicode.IsSpace(r) || unseen(r)) || r == ' ' && (before == ' ' || i == len(s)-1) {
			return false
		}
		before = r
	}
	return true
}

// unseen says whether a rune has no shape of its own: Unicode's Cc, Cf (bidi marks
// and overrides, zero-width marks, tags), Co, Cs and its two separators.
func unseen(r rune) bool { return unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) }

// Phone gives a text for a notification on a phone: one line in which the companion
// app for Android finds no HTML.
func Phone(s string) string {
	return strings.NewReplacer("<", "‹", ">", "›").Replace(Sentence(s))
}

// Markdown gives one line in which Markdown and HTML mean nothing, the links that
// GitHub's form of it makes of bare addresses included.
func Markdown(s string) string { return escape(Sentence(s), false) }

// Inert is Markdown for a document that names addresses: a bare one stays as it is,
// because nothing hides where it leads.
func Inert(s string) string { return escape(Sentence(s), true) }

// trusted are hosts whose addresses may stay links, whoever wrote them: nothing there
// can be made by a stranger, or acts when it is opened.
var trusted = []string{"www.cloudflarestatus.com", "developers.cloudflare.com", "www.home-assistant.io"}

// escape escapes what has a meaning; bare says that a bare address may be a link. An
// underscore within a word has no meaning.
func escape(s string, bare bool) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		if link := trustedLink(s[i:]); link > 0 && (i == 0 || !word(s[i-1])) {
			b.WriteString(s[i : i+link])
			i += link
			continue
		}
		switch c := s[i]; {
		case c == '<':
			b.WriteString("&lt;")
		case c == '>':
			b.WriteString("&gt;")
		case c == '&' && i+1 < len(s) && (s[i+1] == '#' || word(s[i+1])): // it may begin an entity
			b.WriteString("&amp;")
		default:
			if means(s, i, bare) {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
		}
		i++
	}
	return b.String()
}

// means says whether the character at i has a meaning in Markdown, where it stands.
func means(s string, i int, bare bool) bool {
	switch c := s[i]; c {
	case '\\', '`', '*', '[', ']', '|', '~':
		return true
	case '@':
		return !bare
	case '_':
		return !within(s, i)
	case ':': // of a bare address
		return !bare && strings.HasPrefix(s[i:], "://")
	case '.': // www.example.com is a link, too; "1." begins a list
		return !bare && strings.EqualFold(s[max(0, i-3):i], "www") || i > 0 && numbers(s, i)
	case ')':
		return i == 0 || numbers(s, i)
	}
	return i == 0 && strings.IndexByte("#+-=!", s[i]) >= 0 // at the beginning: headings, lists, rules
}

// within says whether a character stands within a word.
func within(s string, i int) bool { return 0 < i && i < len(s)-1 && word(s[i-1]) && word(s[i+1]) }

// numbers says whether a mark makes an item of a list of the line that it stands in.
func numbers(s string, mark int) bool {
	return strings.Trim(s[:mark], "0123456789") == "" && (mark == len(s)-1 || s[mark+1] == ' ')
}

// trustedLink gives the length of a trusted address at the beginning, 0 for none.
func trustedLink(s string) int {
	bare := strings.TrimPrefix(s, "https://")
	for _, host := range trusted {
		rest, ok := strings.CutPrefix(bare, host)
		if !ok {
			continue
		}
		end := 0
		for end < len(rest) && (word(rest[end]) || strings.IndexByte("/-", rest[end]) >= 0) {
			end++
		}
		switch {
		case end > 0 && rest[0] != '/', end < len(rest) && strings.IndexByte("@:\\", rest[end]) >= 0:
			return 0 // another host, or a name before one
		case strings.HasPrefix(rest, "."): // the sentence's end, or another host
			if len(rest) > 1 && word(rest[1]) {
				return 0
			}
		}
		return len(s) - len(rest) + end
	}
	return 0
}

func word(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c >= 0x80
}
