package house_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/house"
	"tunnelmedic/internal/policy"
)

const (
	pixel  = "mobile_app_pixel"
	iphone = "mobile_app_iphone"
)

// asks is a home in the mode ask, with two phones that are told and one that is not.
func asks(t *testing.T, env map[string]string, story func(*house.House)) {
	t.Helper()
	all := map[string]string{"TUNNELMEDIC_MODE": "ask", "TUNNELMEDIC_NOTIFY": pixel + "," + iphone}
	for k, v := range env {
		all[k] = v
	}
	house.Run(t, lab.Options{Notify: []string{pixel, iphone, "mobile_app_tablet"}}, all, func(h *house.House) {
		h.Wait("a good look", 5*time.Minute, func() bool { return healthy(h) })
		h.Sleep(10 * time.Minute)
		story(h)
	})
}

// asked waits until QUIC strips every WebSocket, and that is asked about.
func asked(h *house.House) {
	h.Helper()
	h.World.ChangeFaults(func(f *lab.Faults) { f.Upgrade = lab.Stripped(1, quic).Upgrade })
	h.Wait("a question", 5*time.Minute, func() bool { return h.Status().Question != nil })
	h.Wait("it stands on both phones", time.Minute, func() bool { return button(h, pixel, "Yes") != nil && button(h, iphone, "Yes") != nil })
	h.Wait("its answer can be heard", time.Minute, func() bool { return h.World.Core.Told().Listeners == 1 })
}

// button is a notification on a phone that has a button of this title; nil for none.
func button(h *house.House, service, title string) *lab.PhoneNote {
	for _, n := range h.World.Core.OnPhone(service) {
		if slices.ContainsFunc(n.Data.Actions, func(a lab.PhoneAction) bool { return a.Title == title }) {
			return &n
		}
	}
	return nil
}

func pressed(h *house.House, service, title string) {
	h.Helper()
	if err := h.World.User.Presses(service, title); err != nil {
		h.Fatal(err)
	}
}

func reply(h *house.House, service, text string) bool {
	return slices.ContainsFunc(h.World.Core.OnPhone(service), func(n lab.PhoneNote) bool { return strings.Contains(n.Message, text) })
}

func TestAYesOnThePhoneHealsTheHome(t *testing.T) {
	for _, phone := range []string{pixel, iphone} {
		t.Run(phone, func(t *testing.T) {
			t.Parallel()
			asks(t, nil, func(h *house.House) {
				if n := h.World.Core.Told().Listeners; n != 0 {
					h.Errorf("%d connections listen though nothing is asked", n)
				}
				asked(h)
				if s := h.Status(); s.State != policy.Holding || !strings.Contains(s.Question.Text, "from auto to http2") || s.Mode != "ask" {
					h.Errorf("%s %+v", s.State, s.Question)
				}
				if n := h.World.Core.Told().Notifications["tunnelmedic"]; !strings.Contains(n.Message, "May Tunnel Medic switch") || !strings.Contains(n.Message, "](") {
					h.Errorf("the notification: %+v", n)
				}
				h.Holds("nothing is done without a yes", 5*time.Minute, func() bool { return h.World.Supervisor.Restarts() == 0 && flagOf(h.World) == "" })
				pressed(h, phone, "Yes")
				h.Wait("it is healed", 10*time.Minute, func() bool { return healthy(h) && flagOf(h.World) == "http2" && h.World.OpenShare() == 1 })
				h.Wait("the question is gone from the phones", time.Minute, func() bool { return button(h, pixel, "Yes") == nil && button(h, iphone, "Yes") == nil })
				h.Wait("nobody listens any more", time.Minute, func() bool { return h.World.Core.Told().Listeners == 0 })
				if n := h.World.Supervisor.Restarts(); n != 1 {
					h.Errorf("%d restarts", n)
				}
				noSecrets(h)
			})
		})
	}
}

// noSecrets holds that the name of no button stands anywhere but on the phones.
func noSecrets(h *house.House) {
	h.Helper()
	page, err := h.Get("/")
	if err != nil {
		h.Fatal(err)
	}
	status, _ := h.Get("/api/status")
	for where, text := range map[string]string{"the log": h.Log(), "the page": string(page), "the status": string(status)} {
		if strings.Contains(text, "TUNNELMEDIC_"+"Y") || strings.Contains(text, lab.SupervisorToken) {
			h.Errorf("a secret stands in %s", where)
		}
		for _, call := range h.World.Core.Told().NotifyCalls {
			var m struct {
				Data lab.PhoneData `json:"data"`
			}
			_ = json.Unmarshal(call.Data, &m)
			for _, a := range m.Data.Actions {
				if a.Action != "URI" && strings.Contains(text, a.Action) {
					h.Errorf("the name of a button stands in %s", where)
				}
			}
		}
	}
}

func TestANoOnThePhoneLeavesTheTunnelAlone(t *testing.T) {
	house.Lasting(t)
	asks(t, nil, func(h *house.House) {
		asked(h)
		pressed(h, iphone, "Not now")
		h.Wait("the answer is told", time.Minute, func() bool { return h.Status().Question == nil })
		h.Holds("nothing is done, nothing is asked", 5*time.Hour, func() bool { return h.World.Supervisor.Restarts() == 0 && h.Status().Question == nil })
		if n := h.World.Core.Told().Notifications["tunnelmedic"]; !strings.Contains(n.Message, "The answer is no.") {
			h.Errorf("%+v", n)
		}
		if button(h, pixel, "Yes") != nil {
			h.Error("the question stands on a phone still")
		}
	})
}

// What counts for nothing: another phone, a past question, a name that is made up, a press that comes twice.
func TestWhatDoesNotCountIsRefusedAndSaid(t *testing.T) {
	house.Lasting(t)
	asks(t, nil, func(h *house.House) {
		asked(h)
		mine := *button(h, pixel, "Yes")
		h.World.User.PressesAction("mobile_app_tablet", mine, 0)
		h.Wait("another phone is told of", time.Minute, func() bool { return reply(h, pixel, "on another device") })
		h.World.User.Fires(lab.ActionEvent, json.RawMessage(`{"action":"TUNNELMEDIC_AAAAAAAAAAAAAAAAAAAAAAAAAA"}`))
		h.World.User.Fires(lab.ActionEvent, json.RawMessage(`{"action":"TURN_ON_THE_LIGHT"}`))
		h.World.User.Fires(lab.ActionEvent, json.RawMessage(`[]`))
		h.Sleep(10 * time.Second)
		if q := h.Status().Question; q == nil || q.Yes {
			h.Errorf("it was taken for an answer: %+v", q)
		}
		if n := strings.Count(h.Log(), "this program has not made"); n != 1 {
			h.Errorf("a name that is made up is told %d times", n)
		}
		h.World.ChangeFaults(func(f *lab.Faults) { f.Upgrade = nil })
		h.Wait("it passes by itself", 30*time.Minute, func() bool { return healthy(h) && h.Status().Question == nil })
		h.Wait("the phones are told", time.Minute, func() bool { return button(h, pixel, "Yes") == nil })
		asked(h) // so that somebody listens again
		h.World.User.PressesAction(pixel, mine, 0)
		h.Wait("a button of the past is refused", time.Minute, func() bool { return reply(h, pixel, "out of date") })
		if q := h.Status().Question; q == nil || q.Yes || h.World.Supervisor.Restarts() != 0 {
			h.Errorf("a past answer counts: %+v", q)
		}
		again := *button(h, iphone, "Yes")
		pressed(h, iphone, "Yes")
		h.World.User.PressesAction(iphone, again, 0)
		h.Wait("it is healed", 10*time.Minute, func() bool { return healthy(h) && flagOf(h.World) == "http2" })
		if n := h.World.Supervisor.Restarts(); n != 1 {
			h.Errorf("%d restarts", n)
		}
		noSecrets(h)
	})
}

// Nobody answers: that is told, nothing is done, and it is asked again later.
func TestNoAnswerIsTold(t *testing.T) {
	asks(t, nil, func(h *house.House) {
		asked(h)
		h.Wait("its time is over", 40*time.Minute, func() bool { return told(h, "Nobody answered in time") })
		if h.World.Supervisor.Restarts() != 0 || button(h, pixel, "Yes") != nil {
			h.Error("without an answer something is done, or the question still stands")
		}
		h.Wait("it is asked again", 2*time.Hour, func() bool { return button(h, pixel, "Yes") != nil })
		pressed(h, pixel, "Yes")
		h.Wait("it is healed", 10*time.Minute, func() bool { return healthy(h) && flagOf(h.World) == "http2" })
	})
}

// A question outlives the daemon: asked again on the phones, with buttons that count.
func TestAQuestionOutlivesTheDaemon(t *testing.T) {
	asks(t, nil, func(h *house.House) {
		asked(h)
		id, old := h.Status().Question.ID, *button(h, pixel, "Yes")
		h.Crash()
		h.Start()
		h.Wait("the same question", 5*time.Minute, func() bool { q := h.Status().Question; return q != nil && q.ID == id })
		h.Wait("on the phone again", 5*time.Minute, func() bool { n := button(h, pixel, "Yes"); return n != nil && n.At.After(old.At) })
		h.Wait("its answer can be heard", time.Minute, func() bool { return h.World.Core.Told().Listeners == 1 })
		h.World.User.PressesAction(pixel, old, 0)
		h.Sleep(time.Minute)
		if q := h.Status().Question; q == nil || q.Yes {
			h.Errorf("a button of another life counts: %+v", q)
		}
		pressed(h, pixel, "Yes")
		h.Wait("it is healed", 10*time.Minute, func() bool { return healthy(h) && flagOf(h.World) == "http2" })
	})
}

// Whatever becomes of Core's WebSocket: it is told once, all else goes on, and the page answers.
func TestAWebSocketThatDoesNotWorkIsToldOnce(t *testing.T) {
	for _, fault := range []lab.SocketFault{lab.SocketRefused, lab.SocketShut, lab.SocketDenied, lab.SocketSlow, lab.SocketSilent} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			asks(t, nil, func(h *house.House) {
				h.World.ChangeFaults(func(f *lab.Faults) { f.Upgrade, f.CoreSocket = lab.Stripped(1, quic).Upgrade, fault })
				h.Wait("a question", 5*time.Minute, func() bool { return h.Status().Question != nil })
				h.Sleep(20 * time.Minute)
				if n := strings.Count(h.Log(), "buttons on phones are not heard"); n != 1 {
					h.Errorf("told %d times", n)
				}
				if page, err := h.Get("/"); err != nil || !strings.Contains(string(page), "buttons on phones are not heard") {
					h.Errorf("the page does not say it (%v)", err)
				}
				q := h.Status().Question
				if q == nil {
					h.Fatal("the question is gone")
				}
				h.World.ChangeFaults(func(f *lab.Faults) { f.CoreSocket = "" }) // who may press, Core tells by the same way
				if status, message := press(h, "/api/answer", lab.ChildID, `{"question":"`+q.ID+`","yes":true}`); status != http.StatusForbidden {
					h.Errorf("somebody who is no administrator: HTTP %d %s", status, message)
				}
				if status, message := press(h, "/api/answer", lab.OwnerID, `{"question":"`+q.ID+`","yes":true}`); status != http.StatusAccepted {
					h.Errorf("HTTP %d %s", status, message)
				}
				h.Wait("it is healed", 10*time.Minute, func() bool { return healthy(h) && flagOf(h.World) == "http2" })
				if status, message := press(h, "/api/answer", lab.OwnerID, `{"question":"`+q.ID+`","yes":true}`); status != http.StatusConflict || !strings.Contains(message, "not asked any more") {
					h.Errorf("answered again: HTTP %d %s", status, message)
				}
			})
		})
	}
}

// Core restarts while a question stands: it is heard again once Core is back.
func TestAnAnswerIsHeardAfterCoreRestarts(t *testing.T) {
	asks(t, nil, func(h *house.House) {
		asked(h)
		h.World.User.RestartsCore()
		h.Wait("nobody listens", time.Minute, func() bool { return h.World.Core.Told().Listeners == 0 })
		h.Wait("somebody listens again", 5*time.Minute, func() bool { return h.World.Core.Told().Listeners == 1 })
		if strings.Contains(h.Log(), "are not heard") {
			h.Error("a restart of Core is told as a fault")
		}
		h.Wait("the question still stands", 15*time.Minute, func() bool { return h.Status().Question != nil })
		pressed(h, pixel, "Yes")
		h.Wait("it is healed", 10*time.Minute, func() bool { return healthy(h) && flagOf(h.World) == "http2" })
	})
}

// Nobody has a companion app: the notification in Home Assistant asks, and no connection is opened.
func TestWithoutAPhoneThePageAsks(t *testing.T) {
	asks(t, map[string]string{"TUNNELMEDIC_NOTIFY": ""}, func(h *house.House) {
		h.World.ChangeFaults(func(f *lab.Faults) { f.Upgrade = lab.Stripped(1, quic).Upgrade })
		h.Wait("a question", 5*time.Minute, func() bool { return h.Status().Question != nil })
		h.Wait("a notification that asks", time.Minute, func() bool { return told(h, "May Tunnel Medic switch") })
		h.Holds("no connection is opened", 10*time.Minute, func() bool { return h.World.Core.Told().Listeners == 0 })
	})
}

// Where nothing helps, a phone offers what a person can do: another trial, or quiet.
func TestButtonsWhereNothingHelps(t *testing.T) {
	house.Run(t, lab.Options{}, map[string]string{"TUNNELMEDIC_NOTIFY": pixel}, func(h *house.House) {
		h.Wait("a good look", 5*time.Minute, func() bool { return healthy(h) })
		h.Sleep(10 * time.Minute)
		h.World.ChangeFaults(func(f *lab.Faults) { f.Upgrade = lab.Stripped(1).Upgrade })
		h.Wait("nothing helps", time.Hour, func() bool { return h.Status().State == policy.Holding && button(h, pixel, "Try http2 now") != nil })
		h.Wait("somebody listens", time.Minute, func() bool { return h.World.Core.Told().Listeners == 1 })
		n := button(h, pixel, "Try http2 now")
		if n.Data.Actions[len(n.Data.Actions)-1].URI == "" || len(n.Data.Actions) > 3 {
			h.Errorf("%+v", n.Data.Actions)
		}
		before := h.World.Supervisor.Restarts()
		h.Sleep(5 * time.Minute) // as long as a tunnel must have run
		h.World.ChangeFaults(func(f *lab.Faults) { f.Upgrade = lab.Stripped(1, quic).Upgrade })
		pressed(h, pixel, "Try http2 now")
		h.Wait("it is tried, and helps", 10*time.Minute, func() bool { return healthy(h) && flagOf(h.World) == "http2" })
		if n := h.World.Supervisor.Restarts() - before; n != 1 {
			h.Errorf("%d restarts", n)
		}
	})
}

// A pause by the phone withdraws what was asked.
func TestTheUsersOwnChangeWithdrawsTheQuestion(t *testing.T) {
	asks(t, nil, func(h *house.House) {
		asked(h)
		if err := h.World.User.SetsProtocol(lab.DefaultSlug, evidence.QUIC); err != nil {
			h.Fatal(err)
		}
		h.Wait("it is withdrawn", 5*time.Minute, func() bool { return h.Status().Question == nil })
		h.Wait("the phones are told", time.Minute, func() bool { return button(h, pixel, "Yes") == nil })
		if h.World.Supervisor.Restarts() != 0 {
			h.Error("something was done")
		}
	})
}
