package detect

import (
	"math"
	"time"
)

// Spell is a trouble that is there from time to time and passes on its own: so long, a share of the
// looks is lost in silence.
type Spell struct {
	Yearly  float64       // how often one begins
	Share   float64       // of the looks
	Longest time.Duration // how long it lasts; less is as likely
}

// Passing is how much better what was seen is explained by a spell than by noise alone: the sum of the
// likelihood ratios of all times at which one may have begun, each counted by how likely a beginning is. It moves on
// with each failure; the good looks before it are taken as evenly spaced.
type Passing struct {
	over float64              // of the spells that have ended
	on   [slots + 1]beginning // of those that may be there still, at their slot's number modulo slots+1
	last float64              // when a look failed last, in slots since 1970; 0: never
	good float64              // looks before that
}

// beginning is a slot of time in which a spell may have begun, and what speaks for it.
type beginning struct {
	slot  int
	ratio float64
}

// slots is into how many the longest spell is cut.
const slots = 15

// Ratio is how much better a spell explains it, whenever it began.
func (p *Passing) Ratio() float64 {
	sum := p.over
	for i := range p.on {
		sum += p.on[i].ratio
	}
	return sum
}

// Fail takes a look that was sent and has failed, and the tally with it.
func (p *Passing) Fail(sent, now time.Time, l Look, t Tally, n Noise, s Spell) {
	slot := s.Longest / slots
	at := func(t time.Time) float64 { return float64(t.UnixNano()) / float64(slot) }
	noise, _ := n.rates()
	fails := s.Share/noise + 1 - s.Share
	begin := s.Yearly * slot.Hours() / (365 * 24)
	if p.last == 0 {
		begin *= math.Pow(fails, float64(min(max(t.Failures-t.Explicit-1, 0), slots)))
	}
	p.pass(at(sent), t.good()-p.good, begin, 1-s.Share)
	if l == Explicit {
		fails = 1 - s.Share
	}
	for i := range p.on {
		p.on[i].ratio *= fails
	}
	p.last, p.good = at(now), t.good()
}

// pass lets time pass until the next look that fails: spells end, and begin, so many in a slot. Of the first
// such look any that began before may be the reason; so it may for what failed before a start of the program, one look
// in each slot at most.
func (p *Passing) pass(to, good, begin, works float64) {
	if p.last == 0 {
		*p, good = Passing{last: to - slots}, 0
	}
	much := good * math.Log(works)
	worked := func(part float64) float64 { return math.Exp(much * part) } // a part of the good looks
	half, all := worked(0.5), worked(1)
	for i := range p.on {
		if b := &p.on[i]; b.ratio > 0 {
			lasts := b.left(to)
			if lasts > 0 {
				lasts /= max(b.left(p.last), 1e-9)
			}
			p.over += b.ratio * (1 - lasts) * half
			b.ratio *= lasts * all
		}
	}
	for slot := int(max(p.last, to-slots)); slot <= int(to); slot++ {
		b := &p.on[slot%len(p.on)]
		if b.slot != slot {
			p.over += b.ratio
			*b = beginning{slot: slot}
		}
		from, until, share := max(float64(slot), p.last), min(float64(slot+1), to), 1.0
		if good != 0 {
			share = worked(max(to-until, 0) / max(to-p.last, 1e-9))
		}
		b.ratio += begin * max(until-from, 0) * b.left(to) * share
	}
}

// left is the part of the spells which began then that are there still.
func (b *beginning) left(at float64) float64 { return min(max(1-(at-float64(b.slot))/slots, 0), 1) }
