package plain_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"tunnelmedic/internal/plain"
)

func TestForeignTextBecomesOneHarmlessLine(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"ordinary words stay":         {"Cloudflared (beta) – Köln, 日本", "Cloudflared (beta) – Köln, 日本"},
		"a forged log line":           {"Cloudflared\n2026-11-25 18:00:00 INF All well", "Cloudflared 2026-11-25 18:00:00 INF All well"},
		"a carriage return":           {"good\rbad", "good bad"},
		"Unicode's line breaks":       {"a\u2028b\u2029c\u0085d", "a b c d"},
		"a terminal's escape":         {"\x1b[31mred\x1b[0m \x9b2Jgone", "[31mred[0m ?2Jgone"},
		"a bell and a backspace":      {"a\a\bb\x00c\x7f", "abc"},
		"the reading direction":       {"gpj\u202egnp.exe\u2066x\u2069\u200f", "gpjgnp.exex"},
		"what cannot be seen":         {"pay\u200bpal\ufeff \U000e0041tag", "paypal tag"},
		"blanks before, after, twice": {"  a \t  b ", "a b"},
		"what is no UTF-8":            {"a\xff\xfeb", "a?b"},
		"nothing":                     {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := plain.Line(c.in, 100); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
	long := plain.Name(strings.Repeat("ä", 1000))
	if n := utf8.RuneCountInString(long); n > plain.NameLimit || !strings.HasSuffix(long, "…") {
		t.Errorf("%d runes: %s", n, long)
	}
}

func TestMarkdownMeansNothing(t *testing.T) {
	for in, want := range map[string]string{
		"run_parameters and max_restarts_per_day":  "run_parameters and max_restarts_per_day",
		"_loud_ __bold__ *x* ~~gone~~":             `\_loud\_ \__bold_\_ \*x\* \~\~gone\~\~`,
		"[Click](https://evil.example)":            `\[Click\](https\://evil.example)`,
		"![x](//evil.example/pixel.png)":           `\!\[x\](//evil.example/pixel.png)`,
		"see https://evil.example now":             `see https\://evil.example now`,
		"see www.evil.example":                     `see www\.evil.example`,
		"mail a@evil.example":                      `mail a\@evil.example`,
		"<img src=x onerror=alert(1)>":             "&lt;img src=x onerror=alert(1)&gt;",
		"&lt;b&gt; R&D & more":                     "&amp;lt;b&amp;gt; R&amp;D & more",
		"# Heading":                                `\# Heading`,
		"- a list":                                 `\- a list`,
		"12. a list":                               `12\. a list`,
		"1) a list":                                `1\) a list`,
		"a | b `code` \\":                          "a \\| b \\`code\\` \\\\",
		"See www.cloudflarestatus.com. Nothing":    "See www.cloudflarestatus.com. Nothing",
		"https://www.cloudflarestatus.com/history": "https://www.cloudflarestatus.com/history",
		"www.cloudflarestatus.com.evil.example":    `www\.cloudflarestatus.com.evil.example`,
		"https://www.cloudflarestatus.com@evil.ex": `https\://www\.cloudflarestatus.com\@evil.ex`,
		"xwww.cloudflarestatus.com":                `xwww\.cloudflarestatus.com`,
	} {
		if got := plain.Markdown(in); got != want {
			t.Errorf("%q became\n%q, want\n%q", in, got, want)
		}
	}
	if got, want := plain.Inert("see https://host.example/a_b, a@b.example [x](y) <b> # 1"), `see https://host.example/a_b, a@b.example \[x\](y) &lt;b&gt; # 1`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := plain.Phone("<a href=x>\nhello"); got != "‹a href=x› hello" {
		t.Errorf("%q", got)
	}
}

func FuzzLine(f *testing.F) {
	f.Add("a\x1b[0m\u202eb \n c", 10)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = 2 + max(0, limit%200)
		got := plain.Line(s, limit)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > limit || strings.ContainsFunc(got, func(r rune) bool { return unicode.IsControl(r) || r == '\u202e' }) {
			t.Errorf("%q became %q", s, got)
		}
		if again := plain.Line(got, limit); again != got {
			t.Errorf("%q is not left as it is: %q", got, again)
		}
	})
}
