package policy_test

import (
	"fmt"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/policy"
)

// A tunnel that loses every WebSocket upgrade: the fourth probe is the alarm, and, since
// Home Assistant's own words are strong proof, the order to try another transport. A State
// goes in and comes out as a value; time is an argument.
func ExampleRules_Observe() {
	rules := policy.Rules{
		Heal: true, Allowed: []evidence.Protocol{evidence.Auto, evidence.QUIC, evidence.HTTP2}, Budget: 6,
		Interval: 2 * time.Minute, Burst: 2 * time.Second, MinUptime: 2 * time.Minute, HoldBase: 30 * time.Minute,
	}
	look := policy.Sight{
		Vote: diagnosis.Works, Cause: diagnosis.Healthy, Setting: evidence.Auto, SettingKnown: true, Transport: evidence.OverQUIC,
		ThroughCloudflare: true, DirectWorks: true, Internet: evidence.InternetUp, State: evidence.StateStarted, Running: time.Hour, SupervisorFree: true,
	}
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	var state policy.State
	var what policy.Decision

	state, what = rules.Observe(state, now, look)
	fmt.Printf("%s, next probe in %s\n", state.Phase, what.Next)

	look.Vote, look.Cause, look.Remedy = diagnosis.Fails, diagnosis.UpgradeStripped, diagnosis.Rotate
	for what.Change == nil {
		now = now.Add(what.Next)
		state, what = rules.Observe(state, now, look)
		fmt.Printf("%s, next probe in %s\n", state.Phase, what.Next)
	}
	fmt.Printf("%s %s\n", what.Change.Purpose, what.Change.Protocol)

	// Output:
	// healthy, next probe in 2m0s
	// suspect, next probe in 250ms
	// suspect, next probe in 250ms
	// suspect, next probe in 250ms
	// treating, next probe in 1s
	// trial http2
}
