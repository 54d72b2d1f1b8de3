package notify

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"tunnelmedic/internal/words"
)

// How often Home Assistant is asked which notify services it has. A phone's service comes some
// moments after Home Assistant's start, so one that is missing is looked for again before it is
// called wrong; and a person may set the phone up meanwhile.
const (
	servicesSoon  = time.Minute
	servicesWrong = 10 * time.Minute
	servicesLater = time.Hour
)

// roster is which notify services there are, as far as is known.
type roster struct {
	out   *outbox
	asked []string

	mu                sync.Mutex
	missing, existing []string
}

// helpful is how many names of services are given as a help.
const helpful = 20

// CheckServices sees to it that a notify service that does not exist is known before it is
// needed. It ends with the context.
func (r *roster) CheckServices(ctx context.Context) {
	if len(r.asked) == 0 {
		return
	}
	var missed, said []string
	for wait := time.Duration(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		exist, err := r.out.core.NotifyServices(ctx)
		if err != nil { // what was known stays so
			r.out.log.Debug().Err(err).Msg("Which notify services there are is not known yet.")
			wait = servicesSoon
			continue
		}
		missing := slices.DeleteFunc(slices.Clone(r.asked), func(s string) bool { return slices.Contains(exist, s) })
		lasting := slices.DeleteFunc(slices.Clone(missing), func(s string) bool { return !slices.Contains(missed, s) })
		missed = missing
		exist = slices.DeleteFunc(exist, func(s string) bool { return s == "persistent_notification" || s == "send_message" }) // of Home Assistant's own
		exist = exist[:min(len(exist), helpful)]
		r.mu.Lock()
		r.missing, r.existing = lasting, exist
		r.mu.Unlock()
		switch {
		case len(missing) == 0:
			wait = servicesLater
		case len(lasting) < len(missing):
			wait = servicesSoon
		default:
			wait = servicesWrong
		}
		if len(lasting) > 0 && !slices.Equal(lasting, said) {
			r.out.log.Warn().Msg(words.English().Text(wrong(lasting, exist)))
		}
		said = lasting
	}
}

// Wrong says which notify services do not exist, and which do.
func (r *roster) Wrong() []words.Text {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.missing) == 0 {
		return nil
	}
	return []words.Text{wrong(r.missing, r.existing)}
}

func wrong(missing, exist []string) words.Text {
	services := strings.Join(missing, ", ")
	if len(exist) == 0 {
		return words.Of("page.notify-none", words.With{"services": services})
	}
	return words.Of("page.notify-wrong", words.With{"services": services, "names": strings.Join(exist, ", ")})
}

// testID is the test notification's id. It is one of its own, so that what is told of a fault
// stays where it stands.
const testID = ID + "_test"

// Test sends a test notification in every way that is configured, and says which notify services
// took it and which did not. The error is that Home Assistant itself did not.
func (n *Notifier) Test(ctx context.Context) (reached, failed []string, err error) {
	lang := n.voice.Lang()
	title, text := lang.Say("notify.test.title"), lang.Say("notify.test.text")
	n.mu.Lock()
	calls := []call{create(testID, title, n.linked(&notice{Message: text}, n.page))}
	for _, service := range n.services {
		calls = append(calls, call{"notify", service, n.message(service, testID, title, text)})
	}
	n.mu.Unlock()
	errs := make([]error, len(calls))
	var wg sync.WaitGroup
	for i, c := range calls {
		wg.Go(func() { errs[i] = n.make(ctx, c) })
	}
	wg.Wait()
	for i, c := range calls[1:] {
		if err := errs[i+1]; err != nil {
			n.log.Warn().Err(err).Msg("Home Assistant did not pass the test notification on.")
			failed = append(failed, c.name)
			continue
		}
		reached = append(reached, c.name)
	}
	return reached, failed, errs[0]
}
