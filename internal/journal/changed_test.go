package journal_test

import (
	"slices"
	"testing"
	"time"

	"tunnelmedic/internal/journal"
)

func TestWhatChangedJustBefore(t *testing.T) {
	onset := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return onset.Add(-d) }
	var h journal.History
	h.Note(ago(40*24*time.Hour), journal.Versions{Core: "2026.8.2", AddOn: "6.0.2", Supervisor: "2026.11.0"})
	h.NoteSettings(ago(40*24*time.Hour), journal.Settings{Port: "8123", SSL: "off", Flags: "none", Protocol: "auto"})
	h.Note(ago(25*time.Hour), journal.Versions{Core: "2026.8.3"}) // too long ago
	h.Note(ago(3*time.Hour), journal.Versions{Supervisor: "2026.11.1"})
	h.Note(ago(40*time.Minute), journal.Versions{Core: "2026.9.0"})
	h.NoteSettings(ago(time.Minute), journal.Settings{Flags: "no-tls-verify loglevel"})
	h.NoteSettings(ago(-10*time.Minute), journal.Settings{Port: "80"}) // seen only then
	h.Note(ago(-20*time.Minute), journal.Versions{AddOn: "6.0.3"})     // that was later
	if h.NoteSettings(ago(-30*time.Minute), journal.Settings{}) {
		t.Error("what is not known is news")
	}
	var got []string
	for _, s := range h.ChangedBefore(onset) {
		got = append(got, s.Part+" "+s.Was+" "+s.Version)
	}
	want := []string{
		"Home Assistant's port 8123 80",
		"flags of cloudflared none no-tls-verify loglevel",
		"Home Assistant Core 2026.8.3 2026.9.0",
		"Supervisor 2026.11.0 2026.11.1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
