package sim

import (
	"slices"
	"testing"
)

func BenchmarkHouseholdYear(b *testing.B) { benchmark(b, Ordinary) }
func BenchmarkIncidentA(b *testing.B)     { benchmark(b, QUICOnly) }
func BenchmarkIncidentG(b *testing.B)     { benchmark(b, SwitchOff) }

// The tables: an incident of each family, and as many household-years.
func BenchmarkTables(b *testing.B) {
	others := slices.DeleteFunc(Families(), func(f Family) bool { return f == Ordinary })
	var families []Family
	for _, f := range others {
		families = append(families, f, Ordinary)
	}
	benchmark(b, families...)
	b.ReportMetric(float64(len(others)*b.N)/b.Elapsed().Seconds(), "incidents/s")
}

func benchmark(b *testing.B, families ...Family) {
	cfg, err := Standard(1, 1, 0)
	if err != nil {
		b.Fatal(err)
	}
	cfg.best = cfg.optima(cfg.Families)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		for n, f := range families {
			cfg.live(draw(f, i+n*1000, cfg.Seed, cfg.World, cfg.Pace, cfg.Zone))
		}
	}
}
