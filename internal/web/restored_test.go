package web

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/policy"
)

// restored gives the page of a home whose folder held a thousand incidents of the usual
// length when the program started.
func restored(t testing.TB) (first func() int) {
	t.Helper()
	dir := t.TempDir()
	j, _, err := journal.Open(dir, noon)
	if err != nil {
		t.Fatal(err)
	}
	i := past()
	for range 20 {
		i.Add(i.Steps[0])
	}
	if err := j.Write(i); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "incidents", i.ID+".json"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range 1000 {
		id := noon.Add(-time.Duration(n) * time.Hour).Format("20060102T150405Z")
		if err := os.WriteFile(filepath.Join(dir, "incidents", id+".json"), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if j, _, err = journal.Open(dir, noon); err != nil {
		t.Fatal(err)
	}
	m := medic.New(medic.Settings{Rules: policy.Rules{Budget: 6, Interval: time.Minute}}, nil, j, zerolog.Nop())
	return func() int {
		h := Handler(Whole(Config{Peers: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Medic: m, Incidents: j, Log: zerolog.Nop()}))
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = "127.0.0.1:1"
		got := httptest.NewRecorder()
		h.ServeHTTP(got, r)
		if got.Code != http.StatusOK {
			t.Fatalf("HTTP %d", got.Code)
		}
		return got.Body.Len()
	}
}

// The first page reads every incident that is kept. What that takes must fit into the memory
// of a quiet home.
func TestThousandIncidentsDoNotWeighOnThePage(t *testing.T) {
	first := restored(t)
	first()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	size := first()
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 || size > 256<<10 {
		t.Errorf("the first page took %d KB of memory and is %d KB long", took>>10, size>>10)
	}
}

func BenchmarkFirstPageOfAThousandIncidents(b *testing.B) {
	first := restored(b)
	b.ReportAllocs()
	for b.Loop() {
		first()
	}
}
