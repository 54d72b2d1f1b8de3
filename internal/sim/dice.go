package sim

import (
	"math"
	"math/rand/v2"
)

// dice are a home's chance.
type dice struct {
	*rand.Rand
	source rand.PCG
	noise  float64 // the chance that a look is lost at random
	good   float64 // the logarithm of that of a good one
	per    float64 // 1 / good
}

func newDice(salt, what uint64, noise float64) *dice {
	good := math.Log(1 - noise)
	d := &dice{source: *rand.NewPCG(salt, what), noise: noise, good: good, per: 1 / good}
	d.Rand = rand.New(&d.source)
	return d
}

// Float64 is that of rand.Rand, which asks its source by an interface.
func (d *dice) Float64() float64 { return unit(&d.source) }

func unit(p *rand.PCG) float64 { return float64(p.Uint64()<<11>>11) / (1 << 53) }

// lost draws whether a look is lost at random.
func (d *dice) lost() bool { return d.Float64() < d.noise }

// goodLooks draws how many looks are good until one is lost at random.
func (d *dice) goodLooks() int64 {
	if d.noise == 0 {
		return math.MaxInt64
	}
	return whole(1-d.Float64(), d.good, d.per)
}

// whole is int64(math.Log(u) / of), for u up to 1, in a fifth of the time: the logarithm is that
// of the nearest of many numbers that are known, and a series for the rest. Where the quotient
// is too near to a whole number for that, it is taken as it stands. per is 1 / of.
func whole(u, of, per float64) int64 {
	const mantissa, series = 52, 1e-6 // the error is below 1e-12
	bits := math.Float64bits(u)
	k := &known[bits>>(mantissa-knownBits)&(1<<knownBits-1)]
	m := math.Float64frombits(bits&(1<<mantissa-1) | 1023<<mantissa) // from 1 up to 2
	r := m*k.inverse - 1
	q := (float64(int(bits>>mantissa)-1023)*math.Ln2 + k.log + r*(1-r*(1./2-r*(1./3)))) * per
	n := int64(q)
	if rest := q - float64(n); rest < series || rest > 1-series {
		return int64(math.Log(u) / of)
	}
	return n
}

// known are the logarithms of the middles of equal parts between 1 and 2.
const knownBits = 9

var known = func() (k [1 << knownBits]struct{ inverse, log float64 }) {
	for i := range k {
		x := 1 + (float64(i)+0.5)/float64(len(k))
		k[i].inverse, k[i].log = 1/x, math.Log(x)
	}
	return k
}()
