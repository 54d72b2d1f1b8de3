package sim

import (
	"testing"
)

func BenchmarkHouseholdYear(b *testing.B) { benchmark(b, Ordinary) }
func BenchmarkIncidentA(b *testing.B)     { benchmark(b, QUICOnly) }
func BenchmarkIncidentG(b *testing.B)     { benchmark(b, SwitchOff) }

func benchmark(b *testing.B, f Family) {
	cfg, err := Standard(1, 1, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		cfg.live(draw(f, i, cfg.Seed, cfg.World, cfg.Pace, cfg.Zone))
	}
}
