package diagnosis_test

import (
	"fmt"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/words"
)

// The same refusal of the WebSocket, twice: while an ordinary page and Home Assistant itself
// answer, the way through the tunnel has lost the upgrade, and another protocol may cure it.
// While ordinary pages are refused too, no protocol can.
func ExampleOf() {
	cloudflare := map[string]string{"Server": "cloudflare", "Cf-Ray": "8f00000000000000-FRA"}
	e := evidence.Evidence{
		Public: evidence.Look{Stage: evidence.Answered, Status: 400, Header: cloudflare, Body: "No WebSocket UPGRADE hdr: None\n Can \"Upgrade\" only to \"WebSocket\"."},
		Page:   evidence.Look{Stage: evidence.Answered, Status: 200, Header: cloudflare},
		Direct: evidence.Look{Stage: evidence.Greeted, Status: 101},
	}
	d := diagnosis.Of(e)
	fmt.Printf("%s, remedy %s\n  %s\n", d.Cause, d.Remedy, words.English().Summary(d))

	e.Public.Body = "400: Bad Request"
	e.Page.Status, e.Page.Body = 400, "400: Bad Request"
	d = diagnosis.Of(e)
	fmt.Printf("%s, remedy %s\n  %s\n", d.Cause, d.Remedy, words.English().Summary(d))

	// Output:
	// upgrade-stripped, remedy rotate
	//   The WebSocket upgrade is lost on its way through the tunnel: pages load, but dashboards cannot connect.
	// proxy-not-trusted, remedy tell
	//   Home Assistant does not trust the tunnel as a proxy and refuses everything that comes through it.
}
