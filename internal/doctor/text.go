package doctor

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// The table's columns: their heads and widths. What stands in a cell is wrapped.
var columns = [...]struct {
	head  string
	width int
}{{"component", 14}, {"asked", 30}, {"came", 44}, {"verdict", 7}, {"what to do", 28}}

// Write lays the report out for a terminal of 130 columns or so.
func (r Report) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, %.1f s\n", r.URL, r.At.Format("2006-01-02 15:04:05"), r.Took.Seconds())
	for _, n := range r.Notes {
		fmt.Fprintln(&b, n)
	}
	b.WriteByte('\n')
	heads, rules := []string{}, []string{}
	for _, c := range columns {
		heads, rules = append(heads, c.head), append(rules, strings.Repeat("─", c.width))
	}
	line(&b, heads...)
	line(&b, rules...)
	for _, row := range r.Rows {
		line(&b, row.Component, row.Asked, row.Came, string(row.Verdict), row.Do)
	}
	fmt.Fprintf(&b, "\nVerdict: %s (%s)\n", r.Summary, r.Cause)
	fmt.Fprintf(&b, "Based on: %s.\n", r.Rests)
	for i, step := range r.Advice {
		fmt.Fprintf(&b, "  %d. %s\n", i+1, step)
	}
	if r.Code != Healthy {
		fmt.Fprintf(&b, "More: %s\n", r.Docs)
	}
	WriteCurls(&b, r.Curl)
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteCurls writes the commands that show the same as a report.
func WriteCurls(b *strings.Builder, list []string) {
	if len(list) == 0 {
		return
	}
	b.WriteString("\nTo see the same without this program:\n")
	for _, c := range list {
		fmt.Fprintf(b, "  %s\n", c)
	}
}

// line writes the cells of one row, over several lines where they need it.
func line(b *strings.Builder, cells ...string) {
	wrapped, height := make([][]string, len(cells)), 1
	for i, c := range cells {
		wrapped[i] = wrap(c, columns[i].width)
		height = max(height, len(wrapped[i]))
	}
	for n := range height {
		var out strings.Builder
		for i, lines := range wrapped {
			text := ""
			if n < len(lines) {
				text = lines[n]
			}
			fmt.Fprintf(&out, "%-*s  ", columns[i].width, text)
		}
		fmt.Fprintln(b, strings.TrimRight(out.String(), " "))
	}
}

// wrap breaks a text at its spaces into lines of at most width characters; a word
// that is longer is broken where it must be.
func wrap(text string, width int) (lines []string) {
	var at []rune
	for _, field := range strings.Fields(text) {
		word := []rune(field)
		if at != nil && len(at)+1+len(word) <= width {
			at = append(append(at, ' '), word...)
			continue
		}
		if at != nil {
			lines = append(lines, string(at))
		}
		for ; len(word) > width; word = word[width:] {
			lines = append(lines, string(word[:width]))
		}
		at = word
	}
	if at != nil {
		lines = append(lines, string(at))
	}
	return lines
}

// Progress writes each finished row as a line, so that one sees it at work.
func Progress(w io.Writer) func(Row) {
	return func(r Row) {
		took := ""
		if r.Took > 0 {
			took = fmt.Sprintf(" (%s)", r.Took.Round(time.Millisecond))
		}
		// What a terminal does not take changes nothing.
		_, _ = fmt.Fprintf(w, "  %-3s %s%s\n", r.Verdict, r.Component, took)
	}
}
