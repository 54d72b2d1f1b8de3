package lab

// Strangers leave in the connector's counters what anybody on the internet can leave
// there: so many requests that Home Assistant answers with 400, so many whose proxying
// fails because the visitor hung up, so many that cloudflared answers with 502. It stands
// for floods that would take too long to act out one by one.
func (n *Connector) Strangers(turnedAway, failed, badGateway int) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	r := n.run
	if r == nil || r.ready() == 0 {
		return // they do not get through
	}
	r.total += uint64(turnedAway + failed + badGateway)
	r.errors += uint64(failed + badGateway)
	if turnedAway > 0 {
		r.codes[400] += uint64(turnedAway)
	}
	if badGateway > 0 {
		r.codes[502] += uint64(badGateway)
	}
}

// StrangersSockets makes so many more WebSockets stand, as a visitor can who opens them
// and never signs in again and again; a negative number takes them away.
func (n *Connector) StrangersSockets(more int) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	if r := n.run; r != nil {
		r.open = uint64(max(0, int64(r.open)+int64(more)))
	}
}
