package tunnel_test

import (
	"encoding/json"
	"testing"

	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/tunnel"
)

// A flag of ours is added and taken away; a person's own period, other flags and their order stay.
func TestTheShortGraceIsOneFlagMoreOrLess(t *testing.T) {
	for _, c := range []struct {
		list  string
		short bool
		want  string // "" is refused
	}{
		{`[]`, true, `["--grace-period=1s"]`},
		{`["--loglevel=debug","--protocol=quic"]`, true, `["--loglevel=debug","--protocol=quic","--grace-period=1s"]`},
		{`["--grace-period=1s","--protocol=quic"]`, true, `["--grace-period=1s","--protocol=quic"]`},
		{`["--grace-period=1s","--protocol=quic"]`, false, `["--protocol=quic"]`},
		{`["--loglevel=debug"]`, false, `["--loglevel=debug"]`},
		{`["--grace-period=5s"]`, true, ``},
		{`["--grace-period=5s"]`, false, ``},
		{`["--grace-period=1s","--grace-period=2m"]`, false, ``}, // the last one counts
		{`"--grace-period=1s"`, true, ``},
	} {
		o, err := tunnel.WithShortGrace(supervisor.Options{"run_parameters": json.RawMessage(c.list), "other": json.RawMessage(`1`)}, c.short)
		if got := string(o["run_parameters"]); (err != nil) != (c.want == "") || err == nil && (got != c.want || string(o["other"]) != "1") {
			t.Errorf("%s, short %v: %s %v", c.list, c.short, got, err)
		}
	}
	if o, err := tunnel.WithShortGrace(supervisor.Options{}, false); err != nil || len(o) != 0 {
		t.Errorf("without the option it is %v %v", o, err)
	}
}

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
