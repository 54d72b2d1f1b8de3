package report

import (
	"fmt"
	"strings"
)

// commands writes what anyone can run to see the same, from the outside in. They
// need curl, and the last ones jq.
func (d Dossier) commands(b *strings.Builder) {
	i := d.Incident
	base := strings.TrimRight(i.URL, "/")
	if base == "" {
		base = "https://homeassistant"
	}
	base = strings.ReplaceAll(base, "'", `'\''`) // it is pasted into a shell, and a foreign app may have chosen it
	expect := "101 is well."
	if s := i.Account.Snapshots; len(s) > 0 && s[0].Public != nil && s[0].Public.Status != 0 {
		expect = fmt.Sprintf("101 is well; in this incident it was %d.", s[0].Public.Status)
	} else if len(s) > 0 {
		expect = "101 is well; in this incident no answer came."
	}
	zone, account, tunnel := "ZONE_ID", "ACCOUNT_ID", "TUNNEL_ID"
	fmt.Fprintf(b, `The WebSocket handshake through Cloudflare, as the probe makes it. %[2]s curl then waits for the socket's words: ten seconds are enough.

`+"```sh"+`
URL='%[1]s'
curl -isS --http1.1 --max-time 10 \
  -H 'Connection: Upgrade' -H 'Upgrade: websocket' \
  -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' \
  "$URL/api/websocket" | head -n 20
`+"```"+`

How often it fails, where it fails in part:

`+"```sh"+`
for n in $(seq 50); do
  curl -sS --http1.1 --max-time 3 -o /dev/null -w '%%{http_code}\n' \
    -H 'Connection: Upgrade' -H 'Upgrade: websocket' \
    -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' \
    "$URL/api/websocket" 2>/dev/null
done | sort | uniq -c
`+"```"+`

A plain page through Cloudflare, and the same handshake past it, from inside the house (a good one there tells the tunnel's path from Home Assistant):

`+"```sh"+`
curl -sS -o /dev/null -w '%%{http_code}\n' "$URL/"
curl -isS --http1.1 --max-time 3 \
  -H 'Connection: Upgrade' -H 'Upgrade: websocket' \
  -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' \
  http://homeassistant:8123/api/websocket | head -n 5
`+"```"+`

What the connector says of itself (from a terminal in Home Assistant; CLOUDFLARED is the add-on's slug with - for _):

`+"```sh"+`
curl -sS http://$CLOUDFLARED:36500/ready
curl -sS http://$CLOUDFLARED:36500/metrics | grep -E 'response_by_code|total_requests|build_info'
`+"```"+`

What Cloudflare says of it (TOKEN is a read-only API token; the ids are on the zone's overview and in the tunnel's page):

`+"```sh"+`
API=https://api.cloudflare.com/client/v4
curl -sS -H "Authorization: Bearer $TOKEN" $API/accounts/$%[4]s/cfd_tunnel/$%[5]s/connections | jq '.result[] | {version, features, colos: [.conns[].colo_name]}'
curl -sS -H "Authorization: Bearer $TOKEN" $API/zones/$%[3]s/settings/websockets | jq .result.value
curl -sS -H "Authorization: Bearer $TOKEN" $API/zones/$%[3]s/rulesets | jq '.result[] | select(.phase == "ddos_l7") | {version, last_updated}'
curl -sS https://www.cloudflarestatus.com/api/v2/incidents.json | jq '.incidents[:10][] | {name, impact, started_at, resolved_at}'
`+"```"+`
`, base, expect, zone, account, tunnel)
}
