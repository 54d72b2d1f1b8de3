package doctor_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/doctor"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/probe"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/survey"
)

// Cloudflare's own error pages are named by what they say: from a terminal far away as
// well as from inside the house.
func TestCloudflaresErrorPagesAreNamedFromOutsideToo(t *testing.T) {
	page := func(code int, title string) string {
		head := fmt.Sprintf("<!DOCTYPE html>\n<!--[if lt IE 7]> <html class=\"no-js ie6 oldie\" lang=\"en-US\"> <![endif]-->\n<head>\n<title>ha.example.com | %d: %s</title>\n<meta charset=\"UTF-8\" />\n"+
			"<link rel=\"stylesheet\" id=\"cf_styles-css\" href=\"/cdn-cgi/styles/main.css\" />\n</head>\n<body>\n<div id=\"cf-wrapper\">", code, title)
		return head + strings.Repeat("<div class=\"px-4\"></div>\n", 100) + fmt.Sprintf("<span class=\"code-label\">Error code %d</span></div></body></html>", code)
	}
	html := map[string]string{"Content-Type": "text/html; charset=UTF-8"}
	for name, a := range map[string]lab.EdgeAnswer{
		"500":                      {Status: 500, Body: "error code: 500"},
		"502":                      {Status: 502, Body: "error code: 502"},
		"502 as a page":            {Status: 502, Header: html, Body: page(502, "Bad gateway")},
		"503":                      {Status: 503, Body: "error code: 503"},
		"504 as a page":            {Status: 504, Header: html, Body: page(504, "Gateway time-out")},
		"520":                      {Status: 520, Body: "error code: 520"},
		"520 as a page":            {Status: 520, Header: html, Body: page(520, "Web server is returning an unknown error")},
		"521":                      {Status: 521, Body: "error code: 521"},
		"522 as a page":            {Status: 522, Header: html, Body: page(522, "Connection timed out")},
		"523":                      {Status: 523, Body: "error code: 523"},
		"524":                      {Status: 524, Body: "error code: 524"},
		"525":                      {Status: 525, Body: "error code: 525"},
		"526":                      {Status: 526, Body: "error code: 526"},
		"530, 1016":                {Status: 530, Body: "error code: 1016"},
		"530, 1200":                {Status: 530, Body: "error code: 1200"},
		"1000":                     {Status: 403, Body: "error code: 1000"},
		"1001":                     {Status: 409, Body: "error code: 1001"},
		"1014":                     {Status: 403, Body: "error code: 1014"},
		"1020":                     {Status: 403, Body: "error code: 1020"},
		"a block without a number": {Status: 403, Header: html, Body: `<html><head><title>Attention Required! | Cloudflare</title></head><body><h1>Sorry, you have been blocked</h1></body></html>`},
		"1015":                     {Status: 429, Body: "error code: 1015"},
		"bot protection":           {Status: 403, Header: map[string]string{"Cf-Mitigated": "challenge", "Content-Type": "text/html"}, Body: "<title>Just a moment...</title>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, err := lab.New(lab.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(w.Close)
			until(t, w, func() bool { return w.Connector.Connections() == 4 })
			w.SetFaults(lab.Faults{Answer: &a})
			u, err := url.Parse(w.Edge.URL())
			if err != nil {
				t.Fatal(err)
			}
			p := doctor.Place{Public: probe.Target{URL: u, Timeout: 2 * time.Second}}
			outside, err := doctor.Examine(t.Context(), p, nil)
			if err != nil {
				t.Fatal(err)
			}
			p.Wish.URL = u.String()
			p.Looks = survey.Settings{Supervisor: supervisor.New(supervisor.Config{BaseURL: w.Supervisor.URL(), Token: lab.SupervisorToken}),
				ConnectorURL: w.Connector.URL(), OriginURL: w.Core.URL(), Recall: func(string) evidence.Memory { return evidence.Memory{Known: true} }}
			inside, err := doctor.Examine(t.Context(), p, nil)
			if err != nil {
				t.Fatal(err)
			}
			if outside.Cause != inside.Cause || outside.Cause == diagnosis.Unknown {
				t.Errorf("from outside %s, from inside %s", outside.Cause, inside.Cause)
			}
			if outside.Remedy == diagnosis.Rotate || outside.Remedy == diagnosis.Restart {
				t.Errorf("remedy %s", outside.Remedy)
			}
		})
	}
}

// cloudflared says itself that it gets no answer.
func TestCloudflaredsOwnErrorIsNamedFromOutside(t *testing.T) {
	w, err := lab.New(lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	until(t, w, func() bool { return w.Connector.Connections() == 4 })
	w.SetFaults(lab.Faults{CoreDown: true})
	u, err := url.Parse(w.Edge.URL())
	if err != nil {
		t.Fatal(err)
	}
	r, err := doctor.Examine(t.Context(), doctor.Place{Public: probe.Target{URL: u, Timeout: 2 * time.Second}}, nil)
	if err != nil || r.Cause != diagnosis.OriginDown || r.Code != doctor.Ill {
		t.Errorf("%v, %s, exit %d", err, r.Cause, r.Code)
	}
}

// What an origin says with the same status is not Cloudflare's word.
func TestAnOriginsErrorIsNotCloudflares(t *testing.T) {
	for name, body := range map[string]string{
		"Home Assistant":  "500: Internal Server Error",
		"nginx":           "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>",
		"cloudflared":     "<center><h1>502 Bad Gateway</h1>\r\nUnable to reach the origin service. The service may be down or it may not be responding to traffic from cloudflared",
		"nothing at all":  "",
		"a number inside": "order error code: 50200 received",
	} {
		e := evidence.Evidence{Public: evidence.Look{Asked: "GET https://ha.example.com/api/websocket", Stage: evidence.Answered, Status: 502, Body: body, Header: map[string]string{"Cf-Ray": "1-FRA", "Server": "cloudflare"}}}
		if d := diagnosis.Of(e); d.Cause == diagnosis.CloudflareError {
			t.Errorf("%s: %s", name, d.Cause)
		}
	}
}
