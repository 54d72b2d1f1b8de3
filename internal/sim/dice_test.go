package sim

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The quick logarithm gives what the exact one does, near whole quotients too.
func TestWholeIsExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range 200_000 {
		of := math.Log(1 - rng.Float64()*0.5)
		u := 1 - rng.Float64()
		if rng.IntN(2) == 0 { // a rounding away from a whole quotient
			u = math.Nextafter(math.Exp(of*float64(rng.IntN(30))), float64(rng.IntN(3)-1))
		}
		if u > 0 && u <= 1 && whole(u, of, 1/of) != int64(math.Log(u)/of) {
			t.Fatalf("of %v and %v it is %d", u, of, whole(u, of, 1/of))
		}
	}
}

func BenchmarkWhole(b *testing.B) {
	d := newDice(1, 2, 0.01)
	for b.Loop() {
		d.goodLooks()
	}
}
