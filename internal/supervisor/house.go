package supervisor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"

	"tunnelmedic/internal/evidence"
)

// House is what Supervisor knows of the machine, its networks and its services.
type House struct{ line *line }

// System is the installation as a whole.
type System struct {
	Supervisor      string `json:"supervisor"`       // version
	HomeAssistant   string `json:"homeassistant"`    // version of Core
	OperatingSystem string `json:"operating_system"` // "Home Assistant OS 16.2"
	Machine         string `json:"machine"`          // "raspberrypi4-64"
	TimeZone        string `json:"timezone"`         // "Europe/Vienna"
}

// SystemInfo reads versions, machine and time zone.
func (h House) SystemInfo(ctx context.Context) (System, error) {
	return read[System](ctx, h.line, "reading the system's data", nil, "info")
}

// Network asks for Supervisor's word on the internet. It has two, the host's and its
// own, each of which may be missing; where they contradict each other nothing is known.
func (h House) Network(ctx context.Context) (evidence.Internet, error) {
	s, err := read[struct {
		Host       *bool `json:"host_internet"`
		Supervisor *bool `json:"supervisor_internet"`
	}](ctx, h.line, "reading the network's state", nil, "network", "info")
	up, down := false, false
	for _, word := range []*bool{s.Host, s.Supervisor} {
		up = up || word != nil && *word
		down = down || word != nil && !*word
	}
	switch {
	case up && !down:
		return evidence.InternetUp, err
	case down && !up:
		return evidence.InternetDown, err
	}
	return evidence.InternetUnknown, err
}

// Addresses gives the machine's own addresses in the networks it is in, Docker's
// left out: those at which a service on it is reached from another machine.
func (h House) Addresses(ctx context.Context) (list []netip.Addr, err error) {
	type family struct {
		Address []string `json:"address"` // with the prefix length: "192.168.1.10/24"
	}
	s, err := read[struct {
		Interfaces []struct {
			IPv4 family `json:"ipv4"` // null for none
			IPv6 family `json:"ipv6"`
		} `json:"interfaces"`
	}](ctx, h.line, "reading the machine's addresses", nil, "network", "info")
	for _, i := range s.Interfaces {
		for _, text := range append(i.IPv4.Address, i.IPv6.Address...) {
			if p, err := netip.ParsePrefix(text); err == nil {
				list = append(list, p.Addr().Unmap())
			}
		}
	}
	return list, err
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
func (h House) MQTT(ctx context.Context) (broker Broker, ok bool, err error) {
	broker, err = read(ctx, h.line, "asking for the MQTT broker", func(b *Broker) string { return unless(b.Host != "" && b.Port > 0, "host and port") }, "services", "mqtt")
	if Is(err, NotFound) {
		return Broker{}, false, nil
	}
	h.line.keeper.Add(broker.Password)
	return broker, err == nil, err
}
