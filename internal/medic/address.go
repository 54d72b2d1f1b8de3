package medic

import (
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/words"
)

// AddressStatus is a further public address of the same Home Assistant. One that was not
// looked at yet has a zero At.
type AddressStatus struct {
	URL     string           `json:"url"`
	Refused Refused          `json:"refused,omitempty"` // why it is not watched
	Cause   diagnosis.Cause  `json:"cause"`
	Remedy  diagnosis.Remedy `json:"remedy"`
	Said
	Since  time.Time `json:"since,omitzero"` // since when that cause
	Down   time.Time `json:"-"`              // since when no check was good; of the first that is again, since when none had been
	At     time.Time `json:"at,omitzero"`    // of the last check
	TookMS int64     `json:"took_ms,omitempty"`
	Status int       `json:"status,omitempty"`
	Colo   string    `json:"colo,omitempty"`

	Particulars diagnosis.Particulars `json:"-"`
}

// Well says that the address works as far as is known. One that was not looked at yet
// does.
func (a AddressStatus) Well() bool {
	return a.At.IsZero() || a.Refused == Accepted && a.Cause.ChecksSucceed()
}

// In gives the status as its reader's language says it.
func (a AddressStatus) In(l *words.Lang) AddressStatus {
	a.Advice = []string{}
	switch {
	case a.At.IsZero():
	case a.Refused != Accepted:
		a.Summary = a.Reason(l)
	default:
		of := diagnosis.Diagnosis{Cause: a.Cause, Remedy: a.Remedy, Particulars: a.Particulars}
		a.Summary, a.Basis, a.Advice = l.Summary(of), l.Basis(of), append(a.Advice, l.Advice(of)...)
	}
	return a
}

// Reason says why the address is not watched.
func (a AddressStatus) Reason(l *words.Lang) string {
	return l.Say(map[Refused]words.Key{IsMain: "address.main", NotInTunnel: "address.not-in-tunnel", OtherTunnel: "address.other-tunnel"}[a.Refused])
}

// Refused is why an address is not watched.
type Refused string

// The reasons.
const (
	Accepted    Refused = ""
	IsMain      Refused = "main"          // it is the address that is watched anyway
	NotInTunnel Refused = "not-in-tunnel" // the tunnel's rules do not lead it anywhere
	OtherTunnel Refused = "other-tunnel"  // something answers there that this home's tunnel does not carry
)
