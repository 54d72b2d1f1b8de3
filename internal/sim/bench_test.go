package sim

import (
	"slices"
	"syscall"
	"testing"
	"time"
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
	took := benchmark(b, families...)
	b.ReportMetric(float64(len(others)*b.N)/took.Seconds(), "incidents/cpu-s")
}

// benchmark gives the processor's time that it took, collecting the garbage with it: what
// else runs on the machine is none of it.
func benchmark(b *testing.B, families ...Family) time.Duration {
	cfg, err := Standard(1, 1, 0)
	if err != nil {
		b.Fatal(err)
	}
	cfg.best = cfg.optima(cfg.Families)
	b.ReportAllocs()
	begun := computed(b)
	for i := 0; b.Loop(); i++ {
		for n, f := range families {
			cfg.live(draw(f, i+n*1000, cfg.Seed, cfg.World, cfg.Pace, cfg.Zone))
		}
	}
	return computed(b) - begun
}

// computed is the processor's time so far.
func computed(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano())
}
