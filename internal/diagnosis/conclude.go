package diagnosis

import (
	"slices"
	"time"

	"tunnelmedic/internal/evidence"
)

// History is what a conclusion rests on beside one moment's evidence. The zero value knows
// of nothing that was before.
type History struct {
	Interval time.Duration // between probes while all is well: the witnesses measure in it
	Others   Others        // what was seen of other people until now

	// Everywhere says that in the open incident the fault was seen under every protocol
	// that may be tried, and that none was kept for being better.
	Everywhere bool

	Onset   time.Time // of the open incident; zero: none is open
	Sign    Cause     // of the look before this one
	Since   time.Time // since when it has been that
	Changes []Change  // of versions and settings, oldest first
}

// Conclude says what a moment's evidence amounts to in the light of what was before, and
// what is to be remembered of other people. It is the one place where anything is
// concluded: the policy acts by it, and everybody tells it. Evidence that fits no row, or
// that contradicts itself, is Unknown.
func Conclude(e evidence.Evidence, h History) (Diagnosis, Others) {
	sign, elsewhere := sign(e), !ours(e)
	vote := Abstains
	switch {
	case sign.Cause == Healthy && !elsewhere:
		vote = Works
	case sign.Remedy == Rotate:
		vote = Fails
	}
	others, clients, closing := h.Others.take(e, vote, h.Interval)
	cause := sign.Cause
	switch {
	case h.Everywhere && sign.LosesUpgrade:
		cause = everywhere(e)
	case clients != nil:
		cause = ClientsFailProbeFine
	case cause == Healthy && e.Frontend.Stale():
		cause = PageStale
	case closing != nil:
		cause = ClientsCloseDuringSignIn
	}
	d := Diagnosis{At: e.At, Cause: cause, Remedy: cause.row().Remedy, Vote: vote, Sign: sign.Cause, Elsewhere: elsewhere}
	d.Clients, d.Closing = clients, closing
	if fit := cause.row().fit; fit != nil {
		fit(e, &d)
	}
	d.Changed = h.changedBefore(d)
	return d, others
}

// Of gives the diagnosis of one moment's evidence alone.
func Of(e evidence.Evidence) Diagnosis {
	d, _ := Conclude(e, History{})
	return d
}

// sign is the row that one moment's evidence fits.
func sign(e evidence.Evidence) *Row {
	if !e.Public.Done() || e.Public.Trouble == evidence.Unusable { // nothing was asked, so nothing can be said of the way
		if e.SupervisorAway != "" {
			return SupervisorAway.row()
		}
		return Unknown.row()
	}
	for i := range catalogue {
		if catalogue[i].fits(e) {
			return &catalogue[i]
		}
	}
	return Unknown.row()
}

// Fitting names every cause whose row fits the evidence, in the order in which they are
// tried: the first is the verdict, the others are what it stands before. It is for the
// test that holds the order of the catalogue.
func Fitting(e evidence.Evidence) (list []Cause) {
	for i := range catalogue {
		if catalogue[i].fits(e) {
			list = append(list, catalogue[i].Cause)
		}
	}
	return list
}

func (r *Row) fits(e evidence.Evidence) bool { return r.match != nil && r.match(e) }

// everywhere is the cause where the fault was seen under every protocol that may be tried:
// where no WebSocket was ever seen to pass, the zone's switch is the likely one; where one
// was, something upstream broke.
func everywhere(e evidence.Evidence) Cause {
	never := e.Memory.Known && !e.Memory.Ever
	if never && handshakeRefused(e) && e.Zone.WebSockets != evidence.On {
		return WebSocketsDisabled
	}
	return StrippedEverywhere
}

// Change is a version or a setting that became another one.
type Change struct {
	Part    string    `json:"part"`
	Version string    `json:"version"`
	Was     string    `json:"was,omitempty"` // "" at the beginning of the history
	At      time.Time `json:"at"`            // when it was first seen

	Before time.Duration `json:"-"` // how long before the trouble that it is told with
}

// A change counts as one before a trouble if it was seen within a day before it, or soon
// after: it is seen when somebody looks, and while Home Assistant restarts nobody can.
const (
	changedBefore = 24 * time.Hour
	seenAfter     = 15 * time.Minute
	mostTold      = 3
)

// changedBefore gives what changed just before the trouble began, the nearest first.
func (h History) changedBefore(d Diagnosis) (list []Change) {
	if d.Cause == Healthy {
		return nil
	}
	began := h.Since
	switch {
	case !h.Onset.IsZero():
		began = h.Onset
	case began.IsZero(), d.Sign != h.Sign, d.Cause.ChecksSucceed(): // it begins now, or when it began is not known
		began = d.At
	}
	for _, c := range h.Changes {
		if c.Before = began.Sub(c.At); c.Was != "" && c.Before <= changedBefore && c.Before >= -seenAfter {
			list = append(list, c)
		}
	}
	slices.SortStableFunc(list, func(a, b Change) int { return b.At.Compare(a.At) })
	return list[:min(len(list), mostTold)]
}
