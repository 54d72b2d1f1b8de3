package policy

// Advice is what a person can do about a closed gate, "" where there is nothing to
// do but to wait.
func (g Gate) Advice() string {
	//exhaustive:ignore
	switch g {
	case GateSecret:
		// Saving the form by hand posts to the same endpoint, so it is no way around (Supervisor 2025.09.2 to at least 2026.09).
		return "Some versions of Supervisor put the secret's value in the place of every !secret when an app's options are saved, whoever saves them: Tunnel Medic, or you in the form. " +
			"The app works on as before, but the value then stands in its configuration and in your backups, and a change in secrets.yaml no longer reaches it. " +
			"If you accept that, open Settings → Apps → Cloudflared → Configuration, write the value itself in the place of each !secret, and save: from then on Tunnel Medic can change the protocol. " +
			"If you do not, leave it as it is: Tunnel Medic changes nothing."
	case GateSetting:
		return "Open Settings → Apps → Cloudflared → Configuration, and see that run_parameters is a list and holds no --protocol other than auto, quic or http2."
	case GateQUIC:
		return "To let the tunnel use QUIC, let the router or firewall pass UDP to port 7844, without inspecting it. You can try it all the same from Tunnel Medic's page."
	case GateDisk:
		return "Free some space: Settings, System, Storage shows what takes it; old backups are often the most. Where the disk has become read-only, restart the machine, and think of a new disk."
	case GateMemory:
		return "Set the protocol you want in the Cloudflared app's run_parameters. If the present one is right, choose Resume on Tunnel Medic's page."
	case GateBudget:
		return "They come back 24 hours after they were made. The option “Restarts in 24 hours, at most” allows more."
	}
	return ""
}
