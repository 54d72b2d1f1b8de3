package probe_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/coder/websocket"

	"tunnelmedic/internal/probe"
)

// A look is no error, whatever it meets: how far it got and what came back is what it saw. Here
// a Home Assistant that greets, and one behind a proxy that has taken the upgrade out of the request.
func ExampleHandshake() {
	greets := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		_ = c.Write(r.Context(), websocket.MessageText, []byte(`{"type":"auth_required","ha_version":"2026.11.0"}`))
		_, _, _ = c.Read(r.Context()) // until the probe has closed
	}))
	defer greets.Close()
	stripped := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cf-Ray", "8f00000000000000-FRA")
		http.Error(w, "No WebSocket UPGRADE hdr: None", http.StatusBadRequest)
	}))
	defer stripped.Close()

	for _, server := range []*httptest.Server{greets, stripped} {
		u, err := url.Parse(server.URL)
		if err != nil {
			panic(err)
		}
		look := probe.Handshake(context.Background(), probe.Target{URL: u})
		fmt.Printf("healthy %t: %s with %d, from %q: %q\n", look.Healthy(), look.Stage, look.Status, look.Colo(), strings.TrimSpace(look.Body))
	}

	// Output:
	// healthy true: greeted with 101, from "": ""
	// healthy false: answered with 400, from "FRA": "No WebSocket UPGRADE hdr: None"
}
