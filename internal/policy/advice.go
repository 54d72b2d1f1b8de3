package policy

// Advice is what a person can do about a closed gate, "" where there is nothing to
// do but to wait.
func (g Gate) Advice() string {
	switch g {
	case GateSecret:
		return "Set the protocol by hand: in the Cloudflared add-on's Configuration, write --protocol=http2 (or auto) into run_parameters, save, and restart it. " +
			"To let Tunnel Medic do it, put the value itself in the place of the !secret."
	case GateSetting:
		return "Open the Cloudflared add-on's Configuration and see that run_parameters is a list and holds no other --protocol than auto, quic or http2."
	case GateQUIC:
		return "To let the tunnel use QUIC, let the router or firewall pass UDP to port 7844, without inspecting it. It can be tried all the same from the add-on's page."
	case GateDisk:
		return "Free some space: Settings, System, Storage shows what takes it; old backups are often the most. Where the disk has become read-only, restart the machine, and think of a new disk."
	case GateMemory:
		return "Set the protocol you want in the Cloudflared app's run_parameters. If the present one is right, choose Resume on Tunnel Medic's page."
	case GateBudget:
		return "They come back 24 hours after they were made. The option max_restarts_per_day allows more."
	}
	return ""
}
