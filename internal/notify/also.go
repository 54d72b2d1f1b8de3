package notify

import (
	"strconv"
	"strings"
	"time"

	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/plain"
	"tunnelmedic/internal/words"
)

// also is what was told of a further address.
type also struct {
	told  time.Time // when its trouble was told; zero: nothing stands there
	ended bool      // its end was told, too
	clean bool      // what an earlier life may have left there is gone
}

// alsoID is the id of a further address's notification.
func alsoID(i int) string { return ID + "_address_" + strconv.Itoa(i+1) }

// TellAlso takes the state of the further addresses. One that has not worked for ten
// minutes is told, and its end with its length: in a notification of its own, since the
// main address may have its own trouble. While that one fails, too, it is the one to tell.
func (n *Notifier) TellAlso(list []medic.AddressStatus) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.silent {
		return
	}
	for len(n.also) < len(list) {
		n.also = append(n.also, also{})
	}
	now := time.Now()
	for i, a := range list {
		if !a.At.IsZero() {
			n.tellAddress(i, &n.also[i], a, now)
		}
	}
}

// tellAddress moves the notification of one address on. The caller holds mu.
func (n *Notifier) tellAddress(i int, t *also, a medic.AddressStatus, now time.Time) {
	lang := n.voice.Lang()
	host := strings.TrimPrefix(a.URL, "https://")
	switch lasting := !a.Down.IsZero() && now.Sub(a.Down) >= longEnough; {
	case a.Refused == medic.Accepted && !a.Well() && lasting && (t.told.IsZero() || t.ended) && !n.down:
		said := a.In(lang)
		text := composer{lang, medic.Status{Diagnosis: medic.DiagnosisStatus{Said: said.Said}}}
		msg := notice{Title: lang.Say("notify.address.title", words.With{"address": host}), Message: parts(plain.Markdown(said.Summary), text.md("notify.address.main"), text.advice()),
			short: words.Sentences(said.Summary, lang.Say("notify.address.main"))}
		n.tellAside(i, msg)
		*t = also{told: now, clean: true}
	case a.Well() && !t.told.IsZero() && !t.ended:
		n.tellAside(i, notice{Title: lang.Say("notify.address.again", words.With{"address": host}), Message: plain.Markdown(lang.Say("notify.good.lasted", words.With{"lasted": now.Sub(a.Down).Round(time.Minute)}))})
		t.told, t.ended = now, true
	case t.ended && now.Sub(t.told) >= 5*n.interval, !t.clean && (a.Well() || a.Refused != medic.Accepted):
		n.add(dismiss(alsoID(i)))
		*t = also{clean: true}
	}
}

// tellAside writes a further address's notification, and lets phones ring. The caller holds mu.
func (n *Notifier) tellAside(i int, msg notice) {
	n.add(create(alsoID(i), plain.Sentence(n.scrub(msg.Title)), n.scrub(n.linked(&msg, n.page))))
	if n.rings.take(time.Now(), quietTime, maxRings) {
		n.ring(alsoID(i), msg)
	}
}
