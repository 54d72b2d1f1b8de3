package words

import "tunnelmedic/internal/evidence"

// asked are the keys of what is asked of Cloudflare.
var asked = map[evidence.GapOf]Key{
	evidence.AskedPage: "gap.of.page", evidence.AskedZone: "gap.of.zone", evidence.AskedRecord: "gap.of.record", evidence.AskedTunnel: "gap.of.tunnel",
	evidence.AskedWebSockets: "gap.of.websockets", evidence.AskedHTTP3: "gap.of.http3", evidence.AskedMutualTLS: "gap.of.mutual-tls", evidence.AskedRules: "gap.of.rules",
}

// rights are the permissions that a token needs, by the names that Cloudflare's form for
// creating one gives them.
var rights = map[evidence.GapOf]string{
	evidence.AskedZone: "Zone → Zone → Read", evidence.AskedRecord: "Zone → DNS → Read", evidence.AskedTunnel: "Account → Cloudflare Tunnel → Read",
	evidence.AskedWebSockets: "Zone → Zone Settings → Read", evidence.AskedHTTP3: "Zone → Zone Settings → Read",
	evidence.AskedMutualTLS: "Zone → SSL and Certificates → Read", evidence.AskedRules: "Zone → HTTP DDoS Managed Ruleset → Read",
}

var gaps = map[evidence.GapKind]Key{
	evidence.GapUnasked: "gap.unasked", evidence.GapTooLarge: "gap.too-large", evidence.GapUnexpected: "gap.unexpected", evidence.GapTooOften: "gap.too-often",
	evidence.GapToken: "gap.token", evidence.GapRight: "gap.right", evidence.GapNotFound: "gap.not-found", evidence.GapStatus: "gap.status",
	evidence.GapNoZone: "gap.no-zone", evidence.GapNoTunnel: "gap.no-tunnel", evidence.GapNoRules: "gap.no-rules",
}

// Gap says why a part of Cloudflare's own word cannot be had.
func Gap(g evidence.Gap) Text {
	key, known := gaps[g.Kind]
	switch {
	case g.Text != "":
		return Text{"gap.kept", With{"step": g.Text}}
	case !known:
		key = "gap.unknown"
	}
	return Text{key, With{"what": Of(asked[g.Of]), "trouble": Trouble(g.Trouble), "status": g.Status, "code": g.Code, "names": g.Hosts, "right": rights[g.Of]}}
}

// Gaps says each.
func (l *Lang) Gaps(list []evidence.Gap) []string {
	said := make([]string, len(list))
	for i, g := range list {
		said[i] = l.Text(Gap(g))
	}
	return said
}
