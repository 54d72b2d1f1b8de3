package lab

import "time"

// CutOff is how long, since the start, a WebSocket from outside would not have
// opened; a fault that hits a share of them counts for that share.
func (w *World) CutOff() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.meter.total(time.Now())
}

// OpenShare is the share of WebSockets from outside that would open now.
func (w *World) OpenShare() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Edge.openShare()
}

func (e *Edge) openShare() float64 {
	f, r := &e.w.faults, e.w.Connector.run
	switch {
	case f.shut("home"):
		return 0
	case f.SplitDNS && !f.InternetDown:
		return 1
	case f.shut("way") || f.Answer != nil && f.Answer.To != "page":
		return 0
	case f.ElsewhereToo:
		return 1
	case r == nil || r.ready() == 0 || r.hung || f.CoreMoved != r.followed:
		return 0
	}
	return 1 - f.Upgrade[r.transport].Share
}

// meter integrates a share over time.
type meter struct {
	last  time.Time
	share float64
	sum   time.Duration
}

func (m *meter) turn(now time.Time, share float64) { m.sum, m.last, m.share = m.total(now), now, share }

func (m *meter) total(now time.Time) time.Duration {
	return m.sum + time.Duration(float64(now.Sub(m.last))*m.share)
}
