package words_test

import (
	"testing"

	"tunnelmedic/internal/words"
)

func TestWhichLanguageIsSpoken(t *testing.T) {
	for header, want := range map[string]string{
		"":                              "",
		"de-AT,en;q=0.9":                "de",
		"en;q=0.8,de":                   "de",
		"en-GB,en;q=0.9":                "en",
		"pt-BR, en;q=0.5":               "en",
		"ja;q=1, *;q=0.1":               "",
		"en;q=0, ja":                    "",
		"ja,;q=x,,en ; q=0.2":           "",
		"ja, EN-us;q=0.1 ,,, ;;;;":      "en",
		"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o": "",
	} {
		got := ""
		if l := words.Accepted(header); l != nil {
			got = l.Tag
		}
		if got != want {
			t.Errorf("%q asks for %q, want %q", header, got, want)
		}
	}
	var v words.Voice
	if !v.Speak("de-CH") || v.Lang().Tag != "de" || v.Speak("de") || !v.Speak("en") {
		t.Errorf("told to speak German, then English, it speaks %q", v.Lang().Tag)
	}
	if v.Lang().Tag != "en" || v.Speak("ja") || v.Lang().Tag != "en" {
		t.Errorf("where a language is not spoken, it is %q", v.Lang().Tag)
	}
}
