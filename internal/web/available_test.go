package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// account is a home that was watched for so many days up to now, with a cut each week.
func account(now time.Time, days int) (h journal.History) {
	for i := range days {
		at := now.AddDate(0, 0, i-days+1)
		d := h.Day(at)
		d.Watched = 24 * time.Hour
		if (days-i)%7 == 2 {
			d.Lose("upgrade-stripped", 6*time.Minute)
		}
	}
	h.Count(now, journal.Watch{Watched: 10 * time.Minute})
	return h
}

func TestAvailabilityIsSaidOfWhatWasWatched(t *testing.T) {
	at := noon.Add(3 * time.Hour)
	c := clock{words.English(), at, time.UTC}
	figure := regexp.MustCompile(`<dd><strong>(.*?)</strong>(?: <span class="quiet">(.*?)</span>)?</dd>`)
	for name, want := range map[string]struct {
		h       journal.History
		figures string
		days    int
		lost    int
	}{
		"nothing yet":    {journal.History{}, "", 0, 0},
		"half a second":  {journal.History{Days: []journal.Day{{Date: "2026-11-21", Watched: time.Second / 2, Lost: time.Second / 2}}}, "", 0, 0},
		"a first day":    {account(at, 1), "100.00% / 100.00% / 100.00%", leastDays, 0},
		"ten days":       {account(at, 10), "100.00% / 99.94% cut off for about 6 min / 99.92% cut off for about 12 min", leastDays, 2},
		"two months":     {account(at, 62), "100.00% / 99.94% cut off for about 6 min / 99.93% cut off for about 30 min", shownDays, 9},
		"a second of 30": {func() journal.History { h := account(at, 1); h.Days[0].Lose("tunnel-down", time.Second); return h }(), "100.00% / 99.99% cut off for about 1 s / 99.99% cut off for about 1 s", leastDays, 1},
	} {
		page := written(t, c.available(want.h, nil))
		var figures []string
		for _, f := range figure.FindAllStringSubmatch(page, -1) {
			figures = append(figures, strings.TrimSpace(f[1]+" "+f[2]))
		}
		if got, lost := strings.Join(figures, " / "), strings.Count(page, "<li>"); got != want.figures || lost != want.lost {
			t.Errorf("%s: %q, %d days with a cut; want %q", name, got, lost, want.figures)
		}
		drawn := strings.Contains(page, fmt.Sprintf(`viewBox="0 0 %d 60"`, want.days*dayWide))
		if none := strings.Contains(page, c.Say("page.available-none")); none != (want.days == 0) || drawn == none {
			t.Errorf("%s: not %d days are drawn: %s", name, want.days, page)
		}
	}
	page := written(t, c.available(account(at, 10), nil))
	if today := `<rect class="st-healthy" x="130" width="8" height="60"><title>Sat 21 Nov: 100.00%</title></rect></svg>`; !strings.Contains(page, today) {
		t.Errorf("today is not %s in %s", today, page)
	}
	if first := `<rect class="st-starting" y="54" width="8" height="6"><title>Sun 8 Nov: not watched`; !strings.Contains(page, first) {
		t.Errorf("a day before the first is not %s in %s", first, page)
	}
}

func TestTheDrawingBeginsWhereTheDataBeginsAndOneSlowAnswerDoesNotFlattenIt(t *testing.T) {
	f := NewFeed()
	now := noon.Add(-3 * time.Hour)
	f.now = func() time.Time { return now }
	for ; now.Before(noon); now = now.Add(2 * time.Minute) {
		took := int64(46)
		if now.Equal(noon.Add(-time.Hour)) {
			took = 9000
		}
		f.Tell(medic.Status{State: policy.Healthy, LastProbe: &medic.ProbeStatus{At: now, TookMS: took, OK: true}}, nil)
	}
	for longest, most := range map[time.Duration]time.Duration{24 * time.Hour: 3*time.Hour + 2*slotTime, week: 3*time.Hour + 2*slotTime} {
		if back, samples := f.reach(noon, longest); back < 3*time.Hour-slotTime || back > most || samples > maxSamples || back%(time.Duration(samples)*slotTime) != 0 {
			t.Errorf("of %v, %v in %d parts are drawn", longest, back, samples)
		}
	}
	if back, _ := f.reach(noon.Add(30*time.Hour), 24*time.Hour); back != 24*time.Hour {
		t.Errorf("of a day, %v is drawn", back)
	}
	if back, samples := NewFeed().reach(noon, week); back != time.Hour || samples != 12 {
		t.Errorf("of nothing, %v in %d parts is drawn", back, samples)
	}
	page := written(t, clock{words.English(), noon, time.UTC}.timeline(f, false))
	for what, part := range map[string]string{"the axis": "<span>60 ms</span><span>30 ms</span><span>0</span>", "the last value": "<title>Sat 11:55, 46 ms</title></rect></g>",
		"the slow answer": "<title>Sat 11:00, 3030 ms</title>"} {
		if !strings.Contains(page, part) {
			t.Errorf("%s is not %s in %s", what, part, page)
		}
	}
}

// Of a first page with all that can be kept, a small computer must not make anybody wait.
func BenchmarkFirstPageWithAHundredIncidents(b *testing.B) {
	list := shelf{}
	for range 100 {
		list = append(list, past())
	}
	f := NewFeed()
	busyWeek(f)
	p := newPages(Whole(Config{Incidents: list, Feed: f, Log: zerolog.Nop(),
		History: func() journal.History { return account(time.Now(), 62) }}), "token")
	r := httptest.NewRequest(http.MethodGet, "/?all", nil)
	for b.Loop() {
		p.read = false // as after news
		p.show(httptest.NewRecorder(), r, http.StatusOK, "", false)
	}
}
