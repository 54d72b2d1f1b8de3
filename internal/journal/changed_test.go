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
		got = append(got, s.InWords(onset))
	}
	want := []string{
		"Home Assistant's port went from 8123 to 80, about when it began",
		"flags of cloudflared went from none to no-tls-verify loglevel, about when it began",
		"Home Assistant went from 2026.8.3 to 2026.9.0, 40 minutes before",
		"Supervisor went from 2026.11.0 to 2026.11.1, 3 hours before",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
