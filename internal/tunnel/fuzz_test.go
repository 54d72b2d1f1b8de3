package tunnel_test

import (
	"bytes"
	"encoding/json"
	"net"
	"slices"
	"strings"
	"testing"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab/wire"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/tunnel"
)

// Whatever answers on the connector's metrics port, what is taken from it is bounded and
// makes sense.
func FuzzConnector(f *testing.F) {
	for _, body := range []string{
		`{"status":200,"readyConnections":4,"connectorId":"0c4e7a11-2d3b-4f58-8a90-000000000001"}`,
		`{"tunnelID":"f2a1c0de-5b1f-4e0a-9c1d-7f6e1652aa01","connections":[{"isConnected":true,"protocol":1,"edgeAddress":"198.41.192.7","index":3},{"isConnected":true,"edgeAddress":"x"}]}`,
		`{"version":7,"config":{"ingress":[{"hostname":"*.example.com","service":"http://user:pw@homeassistant:8123"},{"service":"http_status:404"}]}}`,
		"cloudflared_tunnel_total_requests 3\ncloudflared_tunnel_response_by_code{status_code=\"400\"} 2\n", `{"readyConnections":-1}`, `null`, ``,
	} {
		f.Add("200 OK", []byte(body))
		f.Add("503 Service Unavailable", []byte(body))
	}
	f.Fuzz(func(t *testing.T, status string, body []byte) {
		c := tunnel.NewConnector("http://127.0.0.1:1").Over(wire.Saying(wire.HTTP(strings.NewReplacer("\r", " ", "\n", " ").Replace(status), "application/json", body)))
		e := c.Inspect(t.Context(), noon)
		if e.Ready < 0 || e.Up() && e.Status != 200 || len(e.Edges) > 8 {
			t.Errorf("%+v", e)
		}
		for _, edge := range e.Edges {
			if net.ParseIP(edge) == nil {
				t.Errorf("%q is no address of an edge", edge)
			}
		}
		r, u := c.Route(t.Context(), "ha.example.com", tunnel.Home{})
		if strings.Contains(r.Service, "pw@") || u != nil && (u.User != nil || u.Scheme != "http" && u.Scheme != "https") {
			t.Errorf("the route is %+v, %v", r, u)
		}
	})
}

// Whatever an app's options are, only the one flag differs after a change of protocol,
// and changed back they are what they were.
func FuzzOptionsRewriting(f *testing.F) {
	for _, o := range []string{
		`{"external_hostname":"ha.example.com","run_parameters":["--edge-ip-version=4","--protocol=quic"],"tunnel_token":"x"}`,
		`{"a":1.0,"b":"\u003c","run_parameters":[]}`, `{"run_parameters":["--protocol=quic","--protocol=http2","x"]}`, `{}`, `{"run_parameters":null}`,
		`{"run_parameters":["--protocol="]}`, `{"run_parameters":"--protocol=quic"}`, `{"run_parameters":[1]}`,
	} {
		f.Add([]byte(o), uint8(3))
	}
	f.Fuzz(func(t *testing.T, raw []byte, to uint8) {
		var o supervisor.Options
		if json.Unmarshal(raw, &o) != nil {
			return
		}
		before, err := o.RunParameters()
		if err != nil {
			if _, err := tunnel.WithProtocol(o, evidence.HTTP2); err == nil {
				t.Error("options that cannot be read are written")
			}
			return
		}
		p := evidence.Protocol(to % 4)
		got, err := tunnel.WithProtocol(o, p)
		if err != nil {
			t.Fatal(err)
		}
		if is, err := tunnel.ProtocolOf(got); err != nil || is != p {
			t.Errorf("with %s it is %s, %v", p, is, err)
		}
		for key, v := range o {
			if key != "run_parameters" && !bytes.Equal(v, got[key]) {
				t.Errorf("%q was %s and is %s", key, v, got[key])
			}
		}
		if missing := o.Differing(got, "run_parameters"); len(missing) > 0 {
			t.Errorf("%q differ", missing)
		}
		after, err := got.RunParameters()
		if err != nil || !slices.Equal(others(before), others(after)) {
			t.Errorf("flags were %q and are %q, %v", before, after, err)
		}
	})
}

func others(flags []string) []string {
	return slices.DeleteFunc(slices.Clone(flags), func(f string) bool { return strings.HasPrefix(f, "--protocol=") })
}
