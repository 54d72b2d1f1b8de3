package journal_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
)

var (
	copies  = []string{"journal.json", "journal.twin.json", "essence.json"}
	moments = []string{"writing", "restarting", "proving", "cured"}
)

// recorded is the journal of a daemon in the lab at one moment of a treatment;
// `go test ./addon -run RecordJournals -journals` records them anew.
func recorded(t *testing.T, moment string) map[string]string {
	t.Helper()
	files := map[string]string{"/data/": "", "/data/incidents/": "", "/data/incidents/20261125T184759Z.json": "{}"}
	for _, name := range copies {
		raw, err := os.ReadFile(filepath.Join("testdata", "journals", moment, name))
		if err != nil {
			t.Fatal(err)
		}
		files["/data/"+name] = string(raw)
	}
	return files
}

// damage is one way in which a disk spoils a file. It is given the file, and the same
// file as it was at an earlier moment.
type damage struct {
	name string
	do   func(r *rand.Rand, raw, earlier string) (now string, there bool)
}

var damages = []damage{
	{"one bit flipped", func(r *rand.Rand, raw, _ string) (string, bool) { return flipped(r, raw, 1), true }},
	{"some bits flipped", func(r *rand.Rand, raw, _ string) (string, bool) { return flipped(r, raw, 2+r.IntN(30)), true }},
	{"cut off", func(r *rand.Rand, raw, _ string) (string, bool) { return raw[:r.IntN(len(raw))], true }},
	{"its tail zeroed", func(r *rand.Rand, raw, _ string) (string, bool) {
		n := r.IntN(len(raw))
		return raw[:n] + strings.Repeat("\x00", len(raw)-n), true
	}},
	{"a block zeroed", func(r *rand.Rand, raw, _ string) (string, bool) {
		from := r.IntN(len(raw))
		to := min(len(raw), from+1+r.IntN(512))
		return raw[:from] + strings.Repeat("\x00", to-from) + raw[to:], true
	}},
	{"truncated to zero", func(*rand.Rand, string, string) (string, bool) { return "", true }},
	{"gone", func(*rand.Rand, string, string) (string, bool) { return "", false }},
	{"another file's bytes", func(r *rand.Rand, raw, _ string) (string, bool) {
		b := make([]byte, len(raw))
		for i := range b {
			b[i] = byte(r.UintN(256))
		}
		return string(b), true
	}},
	{"half of an earlier one", func(r *rand.Rand, raw, earlier string) (string, bool) {
		n := 1 + r.IntN(min(len(raw), len(earlier))-1)
		return raw[:n] + earlier[n:], true
	}},
	{"an earlier generation", func(_ *rand.Rand, _, earlier string) (string, bool) { return earlier, true }},
}

func flipped(r *rand.Rand, raw string, n int) string {
	b := []byte(raw)
	for range n {
		b[r.IntN(len(b))] ^= 1 << r.UintN(8)
	}
	return string(b)
}

// The ends that a damage may have. lost is the one that must not be.
const (
	whole  = iota // all is there
	enough        // the own setting, the way back to it, and what was spent
	unsure        // it knows that it does not know, says so, and touches nothing
	lost
	ends
)

// end judges what was read of a damaged journal.
func end(truth, got journal.Record, warning string) int {
	p, g := truth.Policy, got.Policy
	switch {
	case reflect.DeepEqual(truth, got):
		return whole
	case warning == "" || strings.Contains(warning, "\n"):
		return lost // whatever is missing is missing in silence
	case g.Doubt == policy.Unsure && g.Trial == nil && g.Incident == nil && got.Intention == nil:
		return unsure
	case !g.OwnKnown || g.Own != p.Own || got.Slug != truth.Slug || !reflect.DeepEqual(g.Restarts, p.Restarts) || !g.PausedUntil.Equal(p.PausedUntil):
		return lost
	}
	mayStand := []evidence.Protocol{p.Set}
	if in := truth.Intention; in != nil {
		mayStand = append(mayStand, in.From, in.To)
	}
	for _, m := range mayStand {
		ours := m == g.Set || got.Intention != nil && got.Intention.Knows(m)
		goesBack := m == p.Own || g.Trial != nil || g.Failback != nil
		switch {
		case ours && goesBack:
		case g.Doubt == policy.Recalled:
			return unsure // the policy takes no other protocol that it finds for a person's doing
		default:
			return lost
		}
	}
	return enough
}

// Whatever happens to the files of a real journal, taken amid a treatment, the own
// setting is never lost or changed in silence.
func TestDamage(t *testing.T) {
	const rounds = 12 // of each damage at each moment to each set of files
	r := rand.New(rand.NewPCG(13, 7))
	sets := [][]string{{copies[0]}, {copies[1]}, {copies[2]}, {copies[0], copies[1]}, {copies[0], copies[2]}, {copies[1], copies[2]}, copies}
	var table strings.Builder
	total := [ends]int{}
	row := func(what string, n [ends]int) {
		fmt.Fprintf(&table, "%-24s %-28s %6d %6d %6d %6d\n", what[:strings.Index(what, "|")], what[strings.Index(what, "|")+1:], n[whole], n[enough], n[unsure], n[lost])
		for i := range n {
			total[i] += n[i]
		}
	}
	fmt.Fprintf(&table, "\n%-24s %-28s %6s %6s %6s %6s\n", "damage", "to", "whole", "enough", "unsure", "lost")
	for _, d := range damages {
		for _, set := range sets {
			var n [ends]int
			for at, moment := range moments {
				files, earlier := recorded(t, moment), recorded(t, moments[max(at-1, 0)])
				j, warning := on(t, &memory{files: maps.Clone(files)})
				if warning != "" {
					t.Fatalf("%s, undamaged: %s", moment, warning)
				}
				truth := j.Record()
				for range rounds {
					disk := &memory{files: maps.Clone(files)}
					spoiled := false
					for _, name := range set {
						raw, there := d.do(r, files["/data/"+name], earlier["/data/"+name])
						spoiled = spoiled || raw != files["/data/"+name]
						if disk.files["/data/"+name] = raw; !there {
							delete(disk.files, "/data/"+name)
						}
					}
					if !spoiled || d.name == "an earlier generation" && len(set) == 3 {
						continue // a whole set of an earlier moment is a restored backup: nothing tells it from the truth
					}
					j, warning := on(t, disk)
					e := end(truth, j.Record(), warning)
					if n[e]++; e == lost {
						t.Errorf("%s, %s of %s: warning %q, got %+v, want %+v", d.name, strings.Join(set, ", "), moment, warning, j.Record(), truth)
					}
					if again, warning := keptOn(t, j, disk); warning != "" || again.Policy.Doubt != j.Record().Policy.Doubt || again.Policy.Own != j.Record().Policy.Own {
						t.Errorf("%s of %s: at the second start: %q", d.name, moment, warning)
					}
				}
			}
			short := strings.NewReplacer("journal.json", "first", "journal.twin.json", "twin", "essence.json", "essence").Replace(strings.Join(set, ", "))
			row(d.name+"|"+short, n)
		}
	}
	// Each bit of each file, once.
	for _, name := range copies {
		var n [ends]int
		files := recorded(t, "restarting")
		j, _ := on(t, &memory{files: maps.Clone(files)})
		truth := j.Record()
		raw := files["/data/"+name]
		for bit := range 8 * len(raw) {
			disk := &memory{files: maps.Clone(files)}
			b := []byte(raw)
			b[bit/8] ^= 1 << (bit % 8)
			disk.files["/data/"+name] = string(b)
			j, warning := on(t, disk)
			e := end(truth, j.Record(), warning)
			if n[e]++; e != whole || warning == "" {
				t.Errorf("bit %d of %s: end %d, %q", bit, name, e, warning)
			}
		}
		row("each bit|"+name, n)
	}
	fmt.Fprintf(&table, "%-24s %-28s %6d %6d %6d %6d", "all", "", total[whole], total[enough], total[unsure], total[lost])
	t.Log(table.String())
	if sum := total[whole] + total[enough] + total[unsure]; sum < 10_000 || total[enough] == 0 || total[unsure] == 0 {
		t.Errorf("too little was tried: %v", total)
	}
}

// keptOn writes the record, as the loop does after its first look, and starts again.
func keptOn(t *testing.T, j *journal.Journal, disk *memory) (journal.Record, string) {
	t.Helper()
	if err := j.Update(func(*journal.Record) {}); err != nil {
		t.Fatal(err)
	}
	again, warning := on(t, disk)
	return again.Record(), warning
}
