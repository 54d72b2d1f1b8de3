// Package metrics shows the program's state to Prometheus, in the text format or as OpenMetrics,
// whichever the asker likes better. Nothing is counted for it: each answer is made of what is known
// anyway, so that it costs nothing while nobody asks.
package metrics

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/plain"
	"tunnelmedic/internal/policy"
)

// Source is what is shown.
type Source struct {
	Status    func() medic.Status
	Alive     func(now time.Time) bool                              // whether the loop gives signs of life
	Available func(now time.Time, span time.Duration) journal.Watch // what is known of the time before now
}

// view is that at one moment.
type view struct {
	medic.Status
	alive     bool
	available []stretch
}

// stretch is how it was for a while up to now.
type stretch struct {
	window string
	journal.Watch
}

func (f Source) view(now time.Time) view {
	v := view{Status: f.Status(), alive: f.Alive(now)}
	for _, w := range []struct {
		name string
		span time.Duration
	}{{"24h", 24 * time.Hour}, {"7d", 7 * 24 * time.Hour}, {"30d", 30 * 24 * time.Hour}} {
		v.available = append(v.available, stretch{w.name, f.Available(now, w.span)})
	}
	return v
}

// kind is a family's type. An info has the value 1, and its labels tell.
type kind string

const (
	gauge kind = "gauge"
	info  kind = "info"
)

// sample is one value; its labels go in pairs of name and value.
type sample struct {
	labels []string
	value  float64
}

// family is a metric. One that has no sample is not known now.
type family struct {
	name    string // behind "tunnelmedic_"
	kind    kind
	help    string
	samples func(view) []sample
}

func families() []family {
	return []family{
		{"up", gauge, "1 while the program's loop gives signs of life.", func(s view) []sample { return one(number(s.alive)) }},
		{"build", info, "The program's version.", func(s view) []sample { return one(1, "version", s.Version) }},
		{"state", gauge, "1 for the state that it is in, 0 for the others.", states},
		{"diagnosis", info, "What is wrong, healthy if nothing is.", func(s view) []sample {
			return one(1, "cause", s.Diagnosis.Cause.String(), "remedy", s.Diagnosis.Remedy.String())
		}},
		{"reachable", gauge, "1 if Home Assistant can be reached through its public address, 0 if not.", reachable},
		{"needs_attention", gauge, "1 if only a person can end what is wrong.", func(s view) []sample { return one(number(s.NeedsYou())) }},
		{"check_success", gauge, "1 if the last check was good.", ofCheck(func(p medic.ProbeStatus) float64 { return number(p.OK) })},
		{"check_duration_seconds", gauge, "How long the last check took.", ofCheck(func(p medic.ProbeStatus) float64 { return float64(p.TookMS) / 1000 })},
		{"check_timestamp_seconds", gauge, "When the last check was made.", ofCheck(func(p medic.ProbeStatus) float64 { return float64(p.At.Unix()) })},
		{"data_centre", info, "Where the last check entered Cloudflare's network.", dataCentre},
		{"protocol", info, "The tunnel's protocol: the user's own, the one that is set, the transport in use.", func(s view) []sample {
			return one(1, "own", s.Protocol.Own, "set", s.Protocol.Setting, "in_use", s.Protocol.Transport)
		}},
		{"tunnel_connections", gauge, "Connections of the tunnel to Cloudflare, of four.", func(s view) []sample { return one(float64(s.Protocol.Ready)) }},
		{"tunnel_restarts_24h", gauge, "Restarts of the tunnel by the program in 24 hours.", func(s view) []sample { return one(float64(s.Restarts)) }},
		{"tunnel_restarts_budget", gauge, "How many restarts in 24 hours are allowed.", func(s view) []sample { return one(float64(s.Budget)) }},
		{"unreachable_since_timestamp_seconds", gauge, "Since when no check has been good; absent while they are.", moment(func(s view) time.Time { return s.ShutSince })},
		{"incident_onset_timestamp_seconds", gauge, "When the open incident began; absent if there is none.", moment(onset)},
		{"availability_ratio", gauge, "Part of the watched time in which Home Assistant could be reached, from 0 to 1; absent while too little was watched.", availability},
		{"watched_seconds", gauge, "For how long checks say how it was.", inWindows(func(w journal.Watch) time.Duration { return w.Watched })},
		{"cut_off_seconds", gauge, "For how long Home Assistant could not be reached.", inWindows(func(w journal.Watch) time.Duration { return w.Lost })},
		{"cut_off_by_restarts_seconds", gauge, "How much of that the program's own restarts took.", inWindows(func(w journal.Watch) time.Duration { return w.LostByUs })},
		{"failback_due_timestamp_seconds", gauge, "When the user's own protocol is tried again; absent if it is set.", moment(func(s view) time.Time { return s.FailbackDue })},
	}
}

// Names are the metrics as rules name them.
func Names() []string {
	var list []string
	for _, f := range families() {
		list = append(list, f.full())
	}
	return list
}

const prefix = "tunnelmedic_"

func (f family) full() string {
	if f.kind == info {
		return prefix + f.name + "_info"
	}
	return prefix + f.name
}

func one(value float64, labels ...string) []sample { return []sample{{labels, value}} }

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func states(s view) (list []sample) {
	for p := policy.Starting; p <= policy.Paused; p++ {
		list = append(list, sample{[]string{"state", p.String()}, number(s.State == p)})
	}
	return list
}

func reachable(s view) []sample {
	if s.State == policy.Starting || s.State == policy.Blind {
		return nil
	}
	return one(number(s.Reachable()))
}

func ofCheck(value func(medic.ProbeStatus) float64) func(view) []sample {
	return func(s view) []sample {
		if s.LastProbe == nil {
			return nil
		}
		return one(value(*s.LastProbe))
	}
}

func dataCentre(s view) []sample {
	if s.LastProbe == nil || s.LastProbe.Colo == "" {
		return nil
	}
	return one(1, "colo", plain.Name(s.LastProbe.Colo))
}

func moment(of func(view) time.Time) func(view) []sample {
	return func(s view) []sample {
		at := of(s)
		if at.IsZero() {
			return nil
		}
		return one(float64(at.Unix()))
	}
}

func availability(s view) (list []sample) {
	for _, w := range s.available {
		if share, known := w.Share(); known {
			list = append(list, sample{[]string{"window", w.window}, share})
		}
	}
	return list
}

func inWindows(of func(journal.Watch) time.Duration) func(view) []sample {
	return func(s view) (list []sample) {
		for _, w := range s.available {
			list = append(list, sample{[]string{"window", w.window}, of(w.Watch).Seconds()})
		}
		return list
	}
}

func onset(s view) time.Time {
	if s.Incident == nil {
		return time.Time{}
	}
	return s.Incident.Onset
}

// write writes it all. The two formats differ in how a family of infos is called, and in the end.
func write(b *strings.Builder, s view, open bool) {
	for _, f := range families() {
		samples := f.samples(s)
		if len(samples) == 0 {
			continue
		}
		name, kind := f.full(), gauge
		if open && f.kind == info {
			name, kind = prefix+f.name, info
		}
		fmt.Fprintf(b, "# HELP %s %s\n# TYPE %s %s\n", name, f.help, name, kind)
		for _, v := range samples {
			b.WriteString(f.full())
			between := "{"
			for pair := range slices.Chunk(v.labels, 2) {
				fmt.Fprintf(b, `%s%s="%s"`, between, pair[0], escaper.Replace(pair[1]))
				between = ","
			}
			if len(v.labels) > 0 {
				b.WriteByte('}')
			}
			b.WriteString(" " + strconv.FormatFloat(v.value, 'f', -1, 64) + "\n")
		}
	}
	if open {
		b.WriteString("# EOF\n")
	}
}

// escaper escapes what may not stand in a label's value as it is.
var escaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
