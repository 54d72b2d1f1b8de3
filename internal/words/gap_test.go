package words_test

import (
	"encoding/json"
	"strings"
	"testing"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/words"
)

// Whatever keeps Cloudflare's word from being had is said in the reader's language, also
// after it has been on the disk.
func TestEveryGapIsSaidAndSurvivesTheDisk(t *testing.T) {
	var list []evidence.Gap
	for kind := evidence.GapUnasked; !strings.HasPrefix(kind.String(), "unknown"); kind++ {
		for of := evidence.AskedPage; !strings.HasPrefix(of.String(), "unknown"); of++ {
			list = append(list, evidence.Gap{Kind: kind, Of: of, Trouble: evidence.TimedOut, Status: 403, Code: 9109, Hosts: "ha.example.com"})
		}
	}
	raw, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	var again []evidence.Gap
	if err := json.Unmarshal(raw, &again); err != nil {
		t.Fatal(err)
	}
	for i, g := range again {
		if g != list[i] {
			t.Errorf("%+v came back as %+v", list[i], g)
		}
	}
	for _, tag := range words.Tags {
		for i, said := range words.In(tag).Texts(words.Gaps(list)) {
			if said == "" || strings.Contains(said, "gap.") || strings.Contains(said, "{") || strings.Contains(said, "  ") {
				t.Errorf("%s: %+v is %q", tag, list[i], said)
			}
		}
	}

	var later []evidence.Gap
	if err := json.Unmarshal([]byte(`[{"kind":"of a later version","of":"tunnel"}]`), &later); err != nil {
		t.Fatal(err)
	}
	if said := words.English().Texts(words.Gaps(later)); said[0] != "The tunnel's connections: not known." {
		t.Errorf("%q", said)
	}
}
