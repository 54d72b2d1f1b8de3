package report

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

// Whatever a document holds, its public form names no host, mailbox or id of the home's,
// and is what it becomes when it is veiled once more.
func FuzzVeil(f *testing.F) {
	for _, s := range []string{
		"GET https://ha.house-of-ours.org/api/websocket?x=1 at 198.51.100.7:443", "mail somebody@house-of-ours.org, slug 9074a9fa_cloudflared",
		"id f2a1c0de-5b1f-4e0a-9c1d-7f6e1652aa01 and 0123456789abcdef0123456789abcdef", "files.house-of-ours.org. 2001:db8::1%eth0 HA.HOUSE-OF-OURS.ORG", "$HOST https://[2001:db8::1]:8123/ |ha.house-of-ours.org|",
		"*ha.house-of-ours.org* `ha.house-of-ours.org`", "xha.house-of-ours.orgx", "https://user:pw@ha.house-of-ours.org", "\xff.house-of-ours.org",
	} {
		f.Add(s)
	}
	own := &url.URL{Scheme: "https", Host: "ha.house-of-ours.org"}
	f.Fuzz(func(t *testing.T, text string) {
		got := newVeil(own).over(text + " ha.house-of-ours.org somebody@house-of-ours.org 198.51.100.7 f2a1c0de-5b1f-4e0a-9c1d-7f6e1652aa01 9074a9fa_cloudflared")
		words := strings.Fields(got)
		for _, shown := range words[max(0, len(words)-5):] {
			if slices.Contains([]string{"ha.house-of-ours.org", "somebody@house-of-ours.org", "198.51.100.7", "f2a1c0de-5b1f-4e0a-9c1d-7f6e1652aa01", "9074a9fa_cloudflared"}, shown) {
				t.Errorf("%q shows %q", got, shown)
			}
		}
		if len(got) > 40*len(text)+1000 {
			t.Errorf("%d bytes became %d", len(text), len(got))
		}
	})
}
