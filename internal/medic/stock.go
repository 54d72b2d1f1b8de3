package medic

import (
	"context"
	"strconv"
	"time"

	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/tunnel"
)

// stockEvery is how often versions and settings are looked at.
const (
	stockEvery   = 10 * time.Minute
	stockTimeout = 30 * time.Second
)

// stock is what is installed and set at a moment.
type stock struct {
	versions journal.Versions
	settings journal.Settings
}

// takeStock notes the versions and settings in force: what changed just before a fault is
// worth knowing. It is asked for in the background.
func (m *Medic) takeStock(now time.Time) {
	c := &m.chron
	select {
	case s := <-c.stocks:
		c.stocking = false
		news := c.hist.Note(now, s.versions)
		if c.hist.NoteSettings(now, s.settings) || news {
			c.dirty, c.wrote = true, time.Time{}
		}
	default:
	}
	if own := m.ownProtocol(); own != "" && c.hist.NoteSettings(now, journal.Settings{Protocol: own}) {
		c.dirty, c.wrote = true, time.Time{}
	}
	if c.stocking || m.blind != "" || m.target.Slug == "" || now.Sub(c.stockAt) < stockEvery && !now.Before(c.stockAt) {
		return
	}
	c.stocking, c.stockAt = true, now
	slug := m.target.Slug
	m.side.Go(func() {
		ctx, cancel := context.WithTimeout(m.life, stockTimeout)
		defer cancel()
		var s stock
		if m.set.System != nil {
			if i, err := m.set.System(ctx); err == nil {
				s.versions = systemVersions(i)
				s.versions.Core = "" // what greets through the tunnel says it itself, and may be another one
			}
		}
		if i, err := m.super.CoreInfo(ctx); err == nil && i.Port > 0 {
			s.settings.Port, s.settings.SSL = strconv.Itoa(i.Port), map[bool]string{true: "on", false: "off"}[i.SSL]
		}
		if i, err := m.super.Info(ctx, slug); err == nil && i.Installed() && i.OptionsError == nil {
			s.settings.Flags = tunnel.FlagNames(i.Options)
		}
		if m.life.Err() == nil {
			c.stocks <- s // one at a time: there is room
		}
	})
}

// ownProtocol is the user's own setting, "" while it is not known.
func (m *Medic) ownProtocol() string {
	if !m.state.OwnKnown {
		return ""
	}
	return m.state.Own.String()
}

func systemVersions(s supervisor.System) journal.Versions {
	return journal.Versions{Supervisor: s.Supervisor, Core: s.HomeAssistant, OS: s.OperatingSystem, Machine: s.Machine}
}
