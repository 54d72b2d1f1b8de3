package supervisor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"tunnelmedic/internal/evidence"
)

// System is the installation as a whole.
type System struct {
	Supervisor      string `json:"supervisor"`       // version
	HomeAssistant   string `json:"homeassistant"`    // version of Core
	OperatingSystem string `json:"operating_system"` // "Home Assistant OS 16.2"
	Machine         string `json:"machine"`          // "raspberrypi4-64"
	Arch            string `json:"arch"`             // "aarch64"
	TimeZone        string `json:"timezone"`         // "Europe/Vienna"
	State           string `json:"state"`            // of Supervisor: "running", "startup", "freeze"…
}

// SystemInfo reads versions, machine and time zone.
func (c *Client) SystemInfo(ctx context.Context) (System, error) {
	var s System
	err := c.get(ctx, "reading the system's data", "/info", &s)
	return s, err
}

// CoreInfo is Supervisor's word on Home Assistant Core.
type CoreInfo struct {
	Version       string `json:"version"`
	VersionLatest string `json:"version_latest"`
	Port          int    `json:"port"`
	SSL           bool   `json:"ssl"`
	IPAddress     string `json:"ip_address"` // in Docker's network
	Machine       string `json:"machine"`
}

// CoreInfo reads where Core listens.
func (c *Client) CoreInfo(ctx context.Context) (CoreInfo, error) {
	var s CoreInfo
	err := c.get(ctx, "reading Core's data", "/core/info", &s)
	return s, err
}

// Network asks for Supervisor's word on the internet. It has two, the host's and its
// own, each of which may be missing; where they contradict each other nothing is known.
func (c *Client) Network(ctx context.Context) (evidence.Internet, error) {
	var s struct {
		Host       *bool `json:"host_internet"`
		Supervisor *bool `json:"supervisor_internet"`
	}
	if err := c.get(ctx, "reading the network's state", "/network/info", &s); err != nil {
		return evidence.InternetUnknown, err
	}
	up, down := false, false
	for _, word := range []*bool{s.Host, s.Supervisor} {
		up = up || word != nil && *word
		down = down || word != nil && !*word
	}
	switch {
	case up && !down:
		return evidence.InternetUp, nil
	case down && !up:
		return evidence.InternetDown, nil
	}
	return evidence.InternetUnknown, nil
}

// Broker is where MQTT is spoken, and as whom. It never prints its password.
type Broker struct {
	Host     string `json:"host"`
	Port     int    `json:"port"`
	Username string `json:"username"`
	Password string `json:"password"`
	SSL      bool   `json:"ssl"`
	Protocol string `json:"protocol"` // "3.1.1" or "5"
}

// Format keeps the password out of every verb.
func (b Broker) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "mqtt broker %s:%d", b.Host, b.Port) }

// MarshalJSON keeps the password out of every record.
func (b Broker) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"host": b.Host, "port": b.Port, "ssl": b.SSL, "protocol": b.Protocol})
}

// MQTT asks for the broker that Home Assistant uses; ok is false if there is none.
func (c *Client) MQTT(ctx context.Context) (broker Broker, ok bool, err error) {
	q := call{op: "asking for the MQTT broker", method: http.MethodGet, path: "/services/mqtt", patience: reading}
	switch err := c.ask(ctx, q, &broker); {
	case Is(err, NotFound):
		return Broker{}, false, nil
	case err != nil:
		return Broker{}, false, err
	case broker.Host == "" || broker.Port <= 0:
		return Broker{}, false, unexpected(q, "an answer without host and port")
	}
	c.keeper.Add(broker.Password)
	return broker, true, nil
}

func (c *Client) get(ctx context.Context, op, path string, data any) error {
	return c.ask(ctx, call{op: op, method: http.MethodGet, path: path, patience: reading}, data)
}
