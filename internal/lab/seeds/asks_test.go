package seeds

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"time"

	"tunnelmedic/internal/lab"
)

const pixel = "mobile_app_pixel"

// answers is a person with a phone, in the mode ask: yes as a rule, sometimes no, sometimes nothing, and now and then the
// same button twice, or one of a notification that is out of date. Where one fault is to be healed, they say yes.
func (p *play) answers(r *rand.Rand) {
	var old []lab.PhoneNote
	seen := map[string]bool{}
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-time.After(span(r, time.Second, 20*time.Second)):
		}
		for _, n := range p.w.Core.OnPhone(pixel) {
			if len(n.Data.Actions) < 2 || n.Data.Actions[1].Title != "Not now" || seen[n.Data.Actions[0].Action] {
				continue
			}
			seen[n.Data.Actions[0].Action] = true
			which := pick(r, 0, 0, 0, 1, -1)
			if p.lone {
				which = 0
			}
			if which >= 0 {
				p.touch()
				p.note("pressed on the phone: %s", n.Data.Actions[which].Title)
				p.w.User.PressesAction(pixel, n, which)
			}
			if old = append(old, n); !p.lone && r.IntN(3) == 0 {
				p.w.User.PressesAction(pixel, old[r.IntN(len(old))], r.IntN(2))
			}
		}
	}
}

// consent holds that in the mode ask nothing that cuts the household off was begun without a yes. What a killed daemon had
// still to say is lost, so that only lives without one tell.
func (p *play) consent() {
	if !p.asks || p.tally.Kills > 0 {
		return
	}
	agreed := false
	for line := range strings.Lines(p.h.Log()) {
		var said struct{ Step, Message string }
		if json.Unmarshal([]byte(line), &said) != nil {
			continue
		}
		switch {
		case said.Step == "answered":
			agreed = strings.Contains(said.Message, "yes")
		case said.Step == "postponed":
			agreed = true // what could not be done then may be done later
		case said.Step == "expired", said.Step == "withdrawn":
			agreed = false
		case said.Step == "trial" && strings.Contains(said.Message, "as somebody asked"), said.Step == "reviving" && strings.Contains(said.Message, "Starting it"):
		case said.Step == "trial", said.Step == "failback", said.Step == "reviving":
			if !agreed {
				p.breaks("nothing is done without a yes", "%s", said.Message)
			}
			agreed = false
		}
	}
}
