package words

import "tunnelmedic/internal/evidence"

// rights are the permissions that a token needs, by the names that Cloudflare's form for
// creating one gives them.
var rights = map[evidence.GapOf]string{
	evidence.AskedZone: "Zone → Zone → Read", evidence.AskedRecord: "Zone → DNS → Read", evidence.AskedTunnel: "Account → Cloudflare Tunnel → Read",
	evidence.AskedWebSockets: "Zone → Zone Settings → Read", evidence.AskedHTTP3: "Zone → Zone Settings → Read",
	evidence.AskedMutualTLS: "Zone → SSL and Certificates → Read", evidence.AskedRules: "Zone → HTTP DDoS Managed Ruleset → Read",
}

// Gap says why a part of Cloudflare's own word cannot be had.
func Gap(g evidence.Gap) Text {
	said := member("gap.", g.Kind)
	if said.Key == "" {
		said.Key = "gap.unknown"
	}
	said.With = With{"what": member("gap.of.", g.Of), "trouble": Trouble(g.Trouble), "status": g.Status, "code": g.Code, "names": g.Hosts, "right": rights[g.Of]}
	return said
}

// Gaps says each.
func Gaps(list []evidence.Gap) []Text {
	said := make([]Text, len(list))
	for i, g := range list {
		said[i] = Gap(g)
	}
	return said
}
