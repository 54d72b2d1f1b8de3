package seeds

// mutation is one way to spoil the program.
type mutation struct {
	name   string
	near   []string // kinds of events that strike where it hurts
	change []patch
}

// patch replaces a text that stands in a file just once.
type patch struct{ file, from, to string }

// mutants are the ways in which what keeps a promise could get lost.
var mutants = []*mutation{
	{"the budget is off", []string{"both strip WebSockets"}, []patch{
		{"internal/policy/plan.go", "if now.Sub(t) < day {", "if now.Sub(t) < 0 {"},
		{"internal/policy/gates.go", "return m.s.Spent(m.now)+2 <= m.r.Budget", "return true"},
		{"internal/policy/gates.go", "return m.s.Spent(m.now)+1 <= m.r.Budget", "return true"}}},
	{"another option is dropped with the protocol", []string{"quic strips WebSockets"}, []patch{{"internal/supervisor/options.go",
		"	changed[runParameters] = plainJSON(list)\n	return changed", "	changed[runParameters] = plainJSON(list)\n	delete(changed, \"log_level\")\n	return changed"}}},
	{"a stop by hand is ignored", []string{"a person stops the app"}, []patch{
		{"internal/policy/revive.go", "case in.Remedy == diagnosis.Start:", "case in.Remedy == diagnosis.Start || in.State.Ended():"},
		{"internal/treatment/write.go", "halted, err := o.halted(ctx, info)\n", "halted, err := false, error(nil)\n"}}},
	{"a stop by hand leaves what was not proven", []string{"quic strips WebSockets", "a person stops the app, while a protocol is proven"}, []patch{
		{"internal/policy/suspicion.go", "	case s.Stops < LooksStopped || o != nil && !o.Settled:", "	case true:"},
		{"internal/policy/trial.go", "lasts(o.Since, proving)", "false"},
		{"internal/policy/trial.go", "since(o.Silent, in.Vote == diagnosis.Abstains, now)", "time.Time{}"}}},
	{"a trial has no exit but a verdict", []string{"quic strips WebSockets", "cloudflared ends with an error while a protocol is proven"}, []patch{
		{"internal/policy/trial.go", "lasts(o.Ended, lost)", "false"},
		{"internal/policy/trial.go", "lasts(o.Since, proving)", "false"},
		{"internal/policy/trial.go", "since(o.Silent, in.Vote == diagnosis.Abstains, now)", "time.Time{}"}}},
	{"the gate of uptime stays closed", []string{"quic strips WebSockets"}, []patch{{"internal/policy/gates.go", "return m.in.Running == 0 || m.in.Running >= m.r.MinUptime", "return false"}}},
	{"only what is connected is treated", []string{"UDP is blocked"}, []patch{{"internal/policy/policy.go", "Running: e.Connector.Running, State", "Running: e.Connector.ObservedUp, State"}}},
	{"a cure is told when it is tried", []string{"both strip WebSockets"}, []patch{{"internal/notify/compose.go", "case policy.StepCured:", "case policy.StepCured, policy.StepTrial:"}}},
	{"what lasts is not told", []string{"both strip WebSockets"}, []patch{{"internal/notify/compose.go", "	case policy.Holding:\n", "	case policy.Holding:\n		return nil\n"}}},
	{"an interrupted change is not taken up", []string{"quic strips WebSockets", "the daemon is killed at a call"}, []patch{
		{"internal/medic/medic.go", "in != nil && m.app.treat != nil && !m.parting.under() {", "in != nil && m.app.treat != nil && false {"},
		{"internal/policy/policy.go", "	if s.Trial != nil && !s.Trial.Settled {\n		s.Trial.Retry = now\n", "	if s.Trial != nil && !s.Trial.Settled {\n"}}},
	{"the intention is not noted", []string{"quic strips WebSockets", "the daemon is killed at a call"}, []patch{{"internal/treatment/change.go", "	return c.Diary.Intend(in)\n}", "	return nil\n}"}}},
	{"an app is restarted though it could not start", []string{"Cloudflare's API is away", "quic strips WebSockets"}, []patch{
		{"internal/policy/gates.go", "return m.in.Startable != evidence.Off", "return true"},
		{"internal/treatment/change.go", "case c.Cloudflare == nil || supervisor.Managed(o):", "case true:"}}},
	{"what a restart stopped is forgotten", []string{"starts fail", "quic strips WebSockets"}, []patch{{"internal/policy/revive.go", "		p.StoppedByUs = p.StoppedByUs || change != Revive || out.Restarts > 0", "		p.StoppedByUs = false"}}},
	{"what did not help stays", []string{"both strip WebSockets"}, []patch{{"internal/policy/incident.go", "	case !worse && s.Set != s.Own:", "	case false:"}}},
	{"observing acts", []string{"quic strips WebSockets"}, []patch{{"internal/policy/gates.go", "{ return m.r.Heal }", "{ return true }"}}},
	{"a damaged journal counts as none", []string{"quic strips WebSockets", "the journal is damaged, and the daemon starts anew"}, []patch{{"internal/journal/load.go", "	lost := slices.ContainsFunc(c, func(c copyOf) bool { return c.there })\n", "	lost := false\n	return Record{}, \"\"\n"},
		{"internal/journal/load.go", "twin.usable() && twin.generation > first.generation", "false"},
		{"internal/journal/load.go", "	if !first.usable() || ", "	if "},
		{"internal/journal/load.go", "	case essence.usable() && (!best", "	case false && (!best"}}},
	{"what is written is not forced to the disk", []string{"quic strips WebSockets", "the power is cut while a protocol is proven"}, []patch{{"internal/journal/folder.go", "errors.Join(err, file.Sync(), file.Close())", "errors.Join(err, file.Close())"}}},
	{"a full disk stops nobody", []string{"the disk is full", "quic strips WebSockets", "the daemon is killed while a protocol is proven"}, []patch{{"internal/policy/gates.go", "{ return !m.in.Unkept && !m.s.Unkept }", "{ return true }"},
		{"internal/treatment/change.go", "	return c.Diary.Intend(in)\n}", "	_ = c.Diary.Intend(in)\n	return nil\n}"}}},
	{"the page is shown to anybody", []string{"a stranger asks for the page"}, []patch{
		{"internal/web/web.go", "		if !c.peer(r) {\n", "		if false {\n"},
		{"internal/web/web.go", "peer.IsLoopback() || c.known(peer)", "peer.IsLoopback() || true"}}},
	{"another store's app is taken", []string{"another store's app appears"}, []patch{
		{"internal/tunnel/find.go", `w.Slug == "" && ProvenanceOf(a.Slug) == Stranger`, "false"},
		{"internal/tunnel/find.go", "	case kept >= 0:", "	case false:"}}},
	{"what Core did not take counts as told", []string{"quic strips WebSockets", "Supervisor is away"}, []patch{
		{"internal/notify/notify.go", "		full = n.writes.wait(now, time.Hour, maxRewrites)\n", "		if full = n.writes.wait(now, time.Hour, maxRewrites); full == 0 {\n			n.writes.take(now, time.Hour, maxRewrites)\n		}\n"}}},
	{"what Core refused to take away stays", []string{"quic strips WebSockets", "a call fails", "a call fails", "a call fails", "a call fails", "a call fails"}, []patch{{"internal/notify/notify.go", "		if err == nil && n.want == want && n.page == page {", "		if n.want == want && n.page == page {"}}},
	{"a stop while a restart's answer is waited for is undone", []string{"a call hangs", "quic strips WebSockets", "a person stops the app"}, []patch{{"internal/treatment/restart.go", "r.ending(ctx, r.began) == tunnel.EndedBySignal", "false && r.ending(ctx, r.began) == tunnel.EndedBySignal"}}},
	{"a secret is logged", []string{"Supervisor is away"}, []patch{
		{"internal/secret/secret.go", "	if _, err := s.w.Write(s.k.ScrubBytes(p)); err != nil {", "	if _, err := s.w.Write(p); err != nil {"},
		{"internal/supervisor/line.go", "		e.Message = \"the connection was refused\"", "		e.Message = \"the connection was refused to \" + l.http.Token"}}},
	{"our own doing is taken for a person's", []string{"quic strips WebSockets"}, []patch{{"internal/journal/record.go", "	return p == i.From || p == i.To || slices.Contains(i.Ours, p)", "	return false"}}},
	{"a person's protocol is not taken for theirs", []string{"a person sets a protocol"}, []patch{
		{"internal/policy/setting.go", "{ c.Own, c.Set, c.Doubt = p, p, NoDoubt }", "{ c.Set, c.Doubt = p, NoDoubt }"}}},
	{"what waits is not told", []string{"the connector hangs"}, []patch{
		{"internal/notify/compose.go", "	case !known || s.Diagnosis.Remedy != diagnosis.Tell:\n		return c.lasts(now)", "	case !known || s.Diagnosis.Remedy != diagnosis.Tell:\n		return nil"}}},
	{"a way back waits for the next day's restarts", []string{"both strip WebSockets", "the daemon is killed at a call"}, []patch{
		{"internal/treatment/interrupted.go", "r.in.Begun, r.least = r.in.Begun-1, r.least-1", ""},
		{"internal/policy/trial.go", "	case out.Result == OverBudget && s.Set == o.Protocol:", "	case false:"}}},
	{"a stop before a restart that was never sent is undone", []string{"quic strips WebSockets", "the daemon is killed at a call", "a person stops the app, while a protocol is proven"}, []patch{
		{"internal/treatment/interrupted.go", "was != neverSent && r.ending(", "r.ending("}}},
}
