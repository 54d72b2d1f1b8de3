package tunnel_test

import (
	"encoding/json"
	"testing"

	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/tunnel"
)

func TestOfFlagsOnlyTheNamesAreKept(t *testing.T) {
	for list, want := range map[string]string{
		`[]`:                   "none",
		`["--protocol=http2"]`: "none",
		`["--loglevel=debug","--protocol=quic","--no-tls-verify","--loglevel=info"]`: "loglevel no-tls-verify",
		`["--token","eyJhIjoic2VjcmV0In0","-p=x"]`:                                   "token p",
		`["--origin-ca-pool=/ssl/a b.pem","--=x","--","--ä=1","secret=--x"]`:         "origin-ca-pool",
		`"--loglevel=debug"`: "",
		`[1]`:                "",
	} {
		o := supervisor.Options{"run_parameters": json.RawMessage(list)}
		if got := tunnel.FlagNames(o); got != want {
			t.Errorf("%s: %q", list, got)
		}
	}
	if got := tunnel.FlagNames(supervisor.Options{}); got != "none" {
		t.Errorf("no option: %q", got)
	}
}
