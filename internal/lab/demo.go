package lab

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
)

//go:embed demo.html
var demoHTML string

// demoPage is the page on which a person breaks and mends things. It changes nothing by being
// read: what changes the world is a form.
var demoPage = template.Must(template.New("demo").Parse(demoHTML))

func (w *control) demo(rw http.ResponseWriter, _ *http.Request) {
	s := w.Snapshot()
	rung := make([]string, 0, len(s.NotifyCalls))
	for _, call := range slices.Backward(s.NotifyCalls) {
		var n Notification
		_ = json.Unmarshal(call.Data, &n) // it was read before it was taken
		rung = append(rung, call.At.Format("15:04:05 ")+n.Title)
	}
	told := make([]Notification, 0, len(s.Notifications))
	for _, n := range s.Notifications {
		n.Message, _, _ = strings.Cut(n.Message, "\n\n[")
		told = append(told, n)
	}
	slices.SortFunc(told, func(a, b Notification) int { return strings.Compare(a.ID, b.ID) })
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = demoPage.Execute(rw, map[string]any{"Open": s.OpenShare, "Transport": s.Transport, "Restarts": s.Restarts, "Page": "http://" + w.listen + "/",
		"Damages": s.Faults.Damages(), "Hands": acts, "Told": told, "Rung": rung})
}

// demoAct changes the world as a button of the page says, and leads back to it.
func (w *control) demoAct(rw http.ResponseWriter, req *http.Request) {
	req.Body = http.MaxBytesReader(rw, req.Body, bodyLimit)
	what := req.PostFormValue("what")
	if err := w.demoDo(req.URL.Path, what); err != nil {
		settled(rw, err)
		return
	}
	http.Redirect(rw, req, "/", http.StatusSeeOther)
}

func (w *control) demoDo(path, what string) error {
	if path == "/do" {
		if !slices.ContainsFunc(acts, func(a act) bool { return a.Words != "" && a.Action == what }) {
			return fmt.Errorf("%.60q is nothing that people do here", what)
		}
		return w.user(userAct{Action: what})
	}
	if path == "/mend" && what == "everything" {
		w.SetFaults(Faults{})
		return nil
	}
	for _, d := range w.Faults().Damages() {
		if d.Name == what {
			w.ChangeFaults(map[string]func(*Faults){"/break": d.do, "/mend": d.undo}[path])
			return nil
		}
	}
	return fmt.Errorf("%.60q is nothing that can go wrong here", what)
}
