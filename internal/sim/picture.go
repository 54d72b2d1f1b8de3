package sim

import (
	"fmt"
	"io"
	"strings"
	"time"

	"tunnelmedic/internal/evidence"
)

// Picture draws one incident of a family as SVG: for every actor, what share of
// handshakes opened over time.
func Picture(w io.Writer, cfg Config, f Family, index int) error {
	s := draw(f, index, cfg.Seed, cfg.World, cfg.Pace, cfg.Zone)
	s.pictured = true
	m := newCare(s, cfg.Rules)
	m.live(s.end + limit)
	eyes, onset := oracles(s, m.noticed)
	lanes := []struct {
		who Actor
		t   *tunnel
	}{
		{Nothing, alone(s, s.own)}, {Static, alone(s, evidence.HTTP2)}, {Sidecar, sidecar().live(s)}, {Watchdog, watchdog().live(s)},
		{Medic, m.tunnel}, {SameEyes, eyes}, {Oracle, onset},
	}
	const left, width, right, height, lane = 110.0, 860.0, 90.0, 26.0, 36.0
	from, to := s.onset()-5*time.Minute, s.onset()+30*time.Minute
	//exhaustive:ignore
	switch s.family {
	case Flapping, Unequal, Partial:
		to = s.onset() + 3*time.Hour
	case Breaking:
		to = s.onset() + time.Hour
	}
	if s.family == Ordinary && len(s.spells) > 0 {
		to = min(s.end, s.spells[0].to+30*time.Minute)
	}
	x := func(t time.Duration) float64 {
		return left + width*float64(min(max(t, from), to)-from)/float64(to-from)
	}
	var b strings.Builder
	bottom := 44 + lane*float64(len(lanes))
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="system-ui, sans-serif" font-size="13" role="img">`, left+width+right, bottom+52)
	fmt.Fprintf(&b, "\n<title>%s: %s. What a handshake met, in whose hands.</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n", f, f.Title())
	fmt.Fprintf(&b, "<text x=\"12\" y=\"24\" font-size=\"15\" font-weight=\"600\" fill=\"#222\">%s: %s (the home's own setting: %s)</text>\n", f, f.Title(), s.own)
	fmt.Fprintf(&b, "<text x=\"%.0f\" y=\"24\" text-anchor=\"end\" fill=\"#555\">min cut off, in all</text>\n", left+width+right-12)
	for i, l := range lanes {
		y := 40 + lane*float64(i)
		fmt.Fprintf(&b, "<text x=\"12\" y=\"%.0f\" fill=\"#222\">%s</text><text x=\"%.0f\" y=\"%.0f\" text-anchor=\"end\" fill=\"#222\">%s</text>\n", y+18, l.who, left+width+right-12, y+18, minutes(l.t.cut/60))
		l.t.paint(&b, from, to, x, y, height)
	}
	step := 5 * time.Minute
	for to-from > 14*step {
		step *= 3
	}
	for t := s.onset(); t <= to; t += step {
		fmt.Fprintf(&b, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"40\" y2=\"%.0f\" stroke=\"#999\" stroke-width=\".5\"/><text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\" fill=\"#555\">%s</text>\n",
			x(t), x(t), bottom, x(t), bottom+16, fmt.Sprintf("%.0f min", (t-s.onset()).Minutes()))
	}
	legend := left
	for _, k := range []struct{ fill, text string }{{"#2e7d32", "opens over QUIC"}, {"#1565c0", "opens over HTTP/2"}, {"#c62828", "does not open"}, {"#222", "restarting"}} {
		fmt.Fprintf(&b, "<rect x=\"%.0f\" y=\"%.0f\" width=\"12\" height=\"12\" fill=\"%s\"/><text x=\"%.0f\" y=\"%.0f\" fill=\"#222\">%s</text>\n", legend, bottom+28, k.fill, legend+18, bottom+39, k.text)
		legend += 40 + 7.2*float64(len(k.text))
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// paint draws a tunnel's life from its marks.
func (t *tunnel) paint(b *strings.Builder, from, to time.Duration, x func(time.Duration) float64, y, height float64) {
	part := func(a, z time.Duration, fill string, least, most float64) { // from and to a share of the height
		if z > a && z > from && a < to {
			fmt.Fprintf(b, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n", x(a), y+least*height, max(x(z)-x(a), 1), (most-least)*height, fill)
		}
	}
	box := func(a, z time.Duration, fill string) { part(a, z, fill, 0, 1) }
	mended := false
	for i, m := range t.marks {
		until := to
		if i+1 < len(t.marks) {
			until = t.marks[i+1].at
		}
		if m.down {
			box(m.at, until, "#222")
			for _, sp := range t.spells {
				mended = mended || sp.mends && sp.from <= m.at
			}
			continue
		}
		box(m.at, until, fillOf(m.over))
		for _, sp := range t.spells {
			if share := sp.share(m.over); share > 0 && !(sp.mends && mended) {
				part(max(sp.from, m.at), min(sp.to, until), "#c62828", 1-share, 1)
			}
		}
	}
}

// fillOf is the colour of a time over a transport, or of none.
func fillOf(t evidence.Transport) string {
	return map[evidence.Transport]string{evidence.OverQUIC: "#2e7d32", evidence.OverHTTP2: "#1565c0", evidence.NoTransport: "#c62828"}[t]
}
