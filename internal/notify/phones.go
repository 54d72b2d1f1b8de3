package notify

import (
	"strings"

	"tunnelmedic/internal/phone"
	"tunnelmedic/internal/plain"
	"tunnelmedic/internal/words"
)

// Buttons make the buttons under notifications on phones mean something.
type Buttons interface {
	Offer(service, about string, buttons []phone.Button) []phone.Action
	Withdraw(about string)
}

// askTag is the tag of a question on a phone: answered, it is taken away, and what else stands there is not.
const askTag = ID + "_question"

// phones are the notify services that ring for the household.
type phones struct {
	out      *outbox
	services []string
	buttons  Buttons // nil: there are none
	scrub    func(string) string
	voice    *words.Voice
	page     string // the page's path in Home Assistant, "" if not known
	rings    pace
}

// ring queues the notify services, with a tag: on a phone, what has the same takes the place of the one before.
func (p *phones) ring(tag string, m notice) {
	if m.short == "" {
		m.short = m.Message
	}
	for _, service := range p.services {
		data := p.message(service, tag, m.Title, m.short)
		if extra, ok := data["data"].(map[string]any); ok {
			if actions := p.actions(service, m); len(actions) > 0 {
				extra["actions"] = actions
			}
		}
		p.out.add(call{"notify", service, data})
	}
}

// message is what a notify service is called with.
func (p *phones) message(service, tag, title, text string) map[string]any {
	data := map[string]any{"title": plain.Phone(p.scrub(title)), "message": plain.Phone(p.scrub(text))}
	if mobile(service) {
		// On the phone, too, the newest takes the place of the one before; a touch opens the page.
		extra := map[string]any{"tag": tag}
		if p.page != "" {
			extra["url"], extra["clickAction"] = p.page, p.page
		}
		data["data"] = extra
	}
	return data
}

// clear takes away what has a tag.
func (p *phones) clear(tag string) {
	for _, service := range p.services {
		if mobile(service) {
			p.out.add(call{"notify", service, map[string]any{"message": "clear_notification", "data": map[string]any{"tag": tag}}})
		}
	}
}

// mobile says whether a notify service is a companion app's.
func mobile(service string) bool { return strings.HasPrefix(service, "mobile_app_") }

// actions are the buttons under a notification, one that opens the page included. Android shows three of them.
func (p *phones) actions(service string, m notice) (actions []phone.Action) {
	if p.buttons != nil && len(m.buttons) > 0 {
		actions = p.buttons.Offer(service, m.about.ringing().String(), m.buttons)
	}
	if p.page != "" {
		actions = append(actions, phone.Action{Action: "URI", Title: p.voice.Lang().Say("phone.open"), URI: p.page})
	}
	return actions
}

// withdraw makes a message's buttons count no more.
func (p *phones) withdraw(m *notice) {
	if m != nil && p.buttons != nil {
		p.buttons.Withdraw(m.about.ringing().String())
	}
}
