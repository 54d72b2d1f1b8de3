package lab

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
)

// demoPage is the page on which a person breaks and mends things. It changes nothing by being
// read: what changes the world is a form.
var demoPage = template.Must(template.New("demo").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="3"><title>Break and mend</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:1rem auto;padding:0 1rem}form{display:inline}button{font:inherit;border:0;padding:0;background:none;color:#0277bd;text-decoration:underline;cursor:pointer}li{margin:.2rem 0}.on{font-weight:600;color:#c62828}</style>
</head><body><h1>Break and mend</h1>
<p>From outside, Home Assistant {{if eq .Open 1.0}}opens{{else if eq .Open 0.0}}<span class="on">does not open</span>{{else}}<span class="on">opens now and then</span>{{end}}.
The tunnel runs over {{.Transport}}, and was restarted {{.Restarts}} times. <a href="{{.Page}}" target="medic">Tunnel Medic's page</a> says what it makes of it.</p>
<h2>What can go wrong</h2><ul>
{{range .Damages}}<li>{{if .Done}}<span class="on">{{.Words}}</span> – <form method="post" action="/mend"><button name="what" value="{{.Name}}">mend it</button></form>{{else}}<form method="post" action="/break"><button name="what" value="{{.Name}}">{{.Words}}</button></form>{{end}}</li>
{{end}}</ul>
<p><form method="post" action="/mend"><button name="what" value="everything">Mend everything</button></form></p>
<h2>What people do</h2><ul>
{{range .Hands}}<li><form method="post" action="/do"><button name="what" value="{{.Action}}">{{.Words}}</button></form></li>
{{end}}</ul>
{{with .Told}}<h2>What stands in Home Assistant</h2>{{range .}}<p><strong>{{.Title}}</strong><br>{{.Message}}</p>{{end}}{{end}}
{{with .Rung}}<h2>What the phone said</h2><ul>{{range .}}<li>{{.}}</li>{{end}}</ul>{{end}}
</body></html>
`))

// demoHands are what people do, as userAct names it.
var demoHands = []struct{ Action, Words string }{
	{"core-restart", "restart Home Assistant"}, {"restart", "restart the Cloudflared app"}, {"stop", "stop the Cloudflared app"},
	{"start", "start the Cloudflared app"}, {"crash", "cloudflared crashes"},
}

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
		"Damages": s.Faults.Damages(), "Hands": demoHands, "Told": told, "Rung": rung})
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
		if !slices.ContainsFunc(demoHands, func(h struct{ Action, Words string }) bool { return h.Action == what }) {
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
