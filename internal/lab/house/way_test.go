package house_test

import (
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/house"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/policy"
)

// TestTheWayInIsMarkedWhereItBreaks breaks the way at one part after the other. What is
// told must be that part, and of the others only what was looked at.
func TestTheWayInIsMarkedWhereItBreaks(t *testing.T) {
	const unseen, passes, silent, breaks, ends = diagnosis.Unseen, diagnosis.Passes, diagnosis.Silent, diagnosis.Breaks, diagnosis.Ends
	observe := map[string]string{"TUNNELMEDIC_MODE": "observe"}
	for _, c := range []struct {
		what  string
		act   func(*house.House)
		place diagnosis.Place
		want  [6]diagnosis.Sight // visitors, to Cloudflare, Cloudflare, tunnel, to Home Assistant, Home Assistant
	}{
		{"the address does not answer", faulty(func(f *lab.Faults) { f.EdgeSilent = true }), diagnosis.ToCloudflare, [6]diagnosis.Sight{unseen, breaks, unseen, passes, unseen, passes}},
		{"Access asks for a login", faulty(func(f *lab.Faults) { f.Access = true }), diagnosis.AtCloudflare, [6]diagnosis.Sight{unseen, passes, ends, passes, unseen, passes}},
		{"Cloudflare has an error", answering(503, "error code: 503"), diagnosis.AtCloudflare, [6]diagnosis.Sight{unseen, passes, breaks, passes, unseen, passes}},
		{"the upgrade is lost", lost(1, lab.NoUpgrade, quic), diagnosis.AtTunnel, [6]diagnosis.Sight{unseen, passes, passes, breaks, passes, passes}},
		{"the home has no internet", faulty(func(f *lab.Faults) { f.InternetDown = true }), diagnosis.AtTunnel, [6]diagnosis.Sight{unseen, unseen, unseen, breaks, unseen, passes}},
		{"the rules do not know the name", faulty(func(f *lab.Faults) { f.Unrouted = true }), diagnosis.ToHomeAssistant, [6]diagnosis.Sight{unseen, passes, passes, passes, breaks, passes}},
		{"Home Assistant is down", faulty(func(f *lab.Faults) { f.CoreDown = true }), diagnosis.AtHomeAssistant, [6]diagnosis.Sight{unseen, passes, passes, passes, unseen, breaks}},
		{"Home Assistant hangs", faulty(func(f *lab.Faults) { f.OriginSilent = true }), diagnosis.AtHomeAssistant, [6]diagnosis.Sight{unseen, passes, passes, passes, passes, breaks}},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			house.Run(t, lab.Options{}, observe, func(h *house.House) {
				h.Wait("a good look", time.Minute, func() bool { return h.Status().Way.Parts[diagnosis.AtHomeAssistant] == passes })
				if w := h.Status().Way; [6]diagnosis.Sight(w.Parts[1:]) != [6]diagnosis.Sight{unseen, passes, passes, passes, passes, passes} || w.Place != diagnosis.Nowhere || w.Core == "" {
					h.Errorf("while all is well: %+v", w)
				}
				c.act(h)
				var w medic.WayStatus
				if !h.Comes(30*time.Minute, func() bool {
					w = h.Status().Way
					return w.Place == c.place && [6]diagnosis.Sight(w.Parts[1:]) == c.want
				}) {
					h.Errorf("%v: %v %v, want %v %v", w.Cause, w.Place, w.Parts[1:], c.place, c.want)
				}
			})
		})
	}
}

// TestAvailabilityIsToldAsItStands: the account is of now, not of the last write to the disk.
func TestAvailabilityIsToldAsItStands(t *testing.T) {
	house.Run(t, lab.Options{}, map[string]string{"TUNNELMEDIC_MODE": "observe"}, func(h *house.House) {
		page := func() string {
			raw, err := h.Get("/")
			if err != nil {
				h.Fatal(err)
			}
			return string(raw)
		}
		h.Wait("a good look", time.Minute, func() bool { return h.Status().State == policy.Healthy })
		if p := page(); !strings.Contains(p, "Not watched long enough yet") || strings.Contains(p, "0.00%") {
			h.Error("a share is told before anything was watched")
		}
		h.Sleep(20 * time.Minute)
		if n := strings.Count(page(), "<strong>100.00%</strong>"); n != 3 {
			h.Errorf("after a green beginning, %d of three figures say so", n)
		}
		faulty(func(f *lab.Faults) { f.CoreDown = true })(h)
		h.Wait("it is seen", 10*time.Minute, func() bool { return h.Status().Diagnosis.Cause == diagnosis.OriginDown })
		h.Sleep(30 * time.Minute)
		if p := page(); strings.Count(p, "cut off for about 3") < 3 || strings.Contains(p, "<strong>100.00%</strong>") {
			h.Error("half an hour later nothing of it stands on the page")
		}
	})
}
