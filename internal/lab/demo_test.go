package lab

import (
	"html"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// press presses a button of the page to break and mend things.
func press(t *testing.T, w *World, act, what string) answer {
	t.Helper()
	a := fetch(t, http.MethodPost, w.ControlURL()+act, url.Values{"what": {what}}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	if a.status == http.StatusSeeOther {
		return get(t, w.ControlURL()+a.header.Get("Location"))
	}
	return a
}

func TestEverythingThatIsOfferedCanBeBrokenAndMended(t *testing.T) {
	w := ready(t, Options{})
	all := w.Faults().Damages()
	if len(all) < 15 {
		t.Errorf("only %d", len(all))
	}
	for _, d := range all {
		want(t, press(t, w, "/break", d.Name), 200, html.EscapeString(d.Words)+"</span>")
		if reflect.DeepEqual(w.Faults(), Faults{}) {
			t.Errorf("%s breaks nothing", d.Name)
		}
		if err := w.Faults().Check(); err != nil {
			t.Errorf("%s: %v", d.Name, err)
		}
		if a := press(t, w, "/mend", d.Name); strings.Contains(a.body, html.EscapeString(d.Words)+"</span>") {
			t.Errorf("%s is not mended", d.Name)
		}
	}
	press(t, w, "/break", "core_down")
	press(t, w, "/break", "quic")
	if f := w.Faults(); !f.CoreDown || len(f.Upgrade) != 1 {
		t.Errorf("two at once: %+v", f)
	}
	press(t, w, "/mend", "everything")
	if f := w.Faults(); f.CoreDown || len(f.Upgrade) != 0 {
		t.Errorf("left: %+v", f)
	}
}

func TestTheDemonstrationRefusesWhatItDoesNotKnow(t *testing.T) {
	w := ready(t, Options{})
	for act, what := range map[string]string{"/break": "<b>moon</b>\n", "/mend": "", "/do": "uninstall"} {
		a := press(t, w, act, what)
		want(t, a, 400, "is nothing")
		if strings.Count(a.body, "\n") != 1 {
			t.Errorf("not one line: %q", a.body)
		}
	}
	want(t, press(t, w, "/do", "stop"), 200)
	want(t, press(t, w, "/do", "stop"), 200)
	if w.Supervisor.State(DefaultSlug) != "stopped" {
		t.Error("the app was not stopped")
	}
	if a := get(t, w.ControlURL()+"/break"); a.status != 405 {
		t.Errorf("a link that breaks: HTTP %d", a.status)
	}
}
