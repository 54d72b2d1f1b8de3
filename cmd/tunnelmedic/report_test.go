package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
)

func TestReport(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TUNNELMEDIC_DATA_DIR", dir)
	t.Setenv("TUNNELMEDIC_OPTIONS_FILE", dir+"/options.json")
	t.Setenv("TUNNELMEDIC_HA_TOKEN", "a-token-that-is-secret")
	onset := time.Date(2026, 5, 22, 12, 0, 0, 0, time.UTC)
	const id = "20260522T120000Z"
	j, _, err := journal.Open(dir, onset)
	if err != nil {
		t.Fatal(err)
	}
	call := func(args ...string) (code int, out, errOut string) {
		var o, e bytes.Buffer
		code = run(t.Context(), append([]string{"report"}, args...), &o, &e)
		return code, o.String(), e.String()
	}
	if code, _, e := call(); code != exitFailure || !strings.Contains(e, "no incident on record") {
		t.Error("nothing on record:", code, e)
	}
	if err := j.Write(journal.Incident{ID: id, Onset: onset, Cause: diagnosis.UpgradeStripped, URL: "https://ha.example.com", Ended: onset.Add(time.Hour), Outcome: policy.StepRecovered,
		Steps: []policy.Step{{At: onset, Kind: policy.StepAlarm, Text: "With a-token-that-is-secret."}}}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args      []string
		code      int
		has, lack string
	}{
		"the newest, public, unasked": {nil, 0, "Public form", "ha.example.com"},
		"by its id":                   {[]string{id}, 0, "# Incident " + id, "ha.example.com"},
		"private, flag last":          {[]string{id, "--private"}, 0, "ha.example.com", "a-token-that-is-secret"},
		"private, flag first":         {[]string{"--private", id}, 0, "ha.example.com", "a-token-that-is-secret"},
		"an id that is not there":     {[]string{"20200101T000000Z"}, exitFailure, "no incident \"20200101T000000Z\"", ""},
		"an id that leads elsewhere":  {[]string{"../../etc/passwd"}, exitFailure, "no incident", ""},
		"two ids":                     {[]string{id, id}, exitUsage, "not understood", ""},
		"the list":                    {[]string{"--list"}, 0, "upstream", ""},
		"help":                        {[]string{"--help"}, 0, "public", ""},
	} {
		code, out, errOut := call(c.args...)
		if all := out + errOut; code != c.code || !strings.Contains(all, c.has) || c.lack != "" && strings.Contains(all, c.lack) {
			t.Errorf("%s: %d\n%s", name, code, all)
		}
	}
	t.Setenv("TUNNELMEDIC_DATA_DIR", dir+"/nowhere")
	if code, _, e := call(); code != exitUsage || !strings.Contains(e, "no data folder") {
		t.Error("no folder:", code, e)
	}
}
