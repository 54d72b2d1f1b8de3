package words

import (
	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/plain"
	"tunnelmedic/internal/policy"
)

// Step says what happened, in a sentence or two. What an earlier version kept in words
// stays as it was written.
func (l *Lang) Step(s policy.Step) string {
	if s.Text != "" {
		return plain.Sentence(s.Text)
	}
	with := With{"protocol": s.Protocol, "other": s.Other, "cause": s.Cause, "result": result(s), "over": over(s.Transport),
		"lost": s.Seen.Failures, "passed": s.Seen.Probes - s.Seen.Failures, "checks": checks(s.Seen), "lostbefore": s.Before.Failures, "earlier": checks(s.Before),
		"until": Moment{At: s.Until, How: HourAndMinute}, "span": s.Span, "app": s.App, "instead": s.Instead}
	said := l.Say(stepKey(s), with)
	if s.Ends {
		said += " " + l.Say("step.ends")
	}
	return said
}

// Steps gives the story with each step in words, for readers of the API.
func (l *Lang) Steps(list []policy.Step) []policy.Step {
	said := make([]policy.Step, len(list))
	for i, s := range list {
		s.Text = l.Step(s)
		said[i] = s
	}
	return said
}

func checks(t detect.Tally) Count { return Count{t.Probes, "count.checks"} }

func over(t evidence.Transport) Text {
	if t == evidence.NoTransport {
		return Text{Key: "transport.unknown"}
	}
	return Text{"transport.over", With{"transport": t}}
}

// result is how a change ended, with what was seen in it.
func result(s policy.Step) Text {
	r := Result(s.Result)
	if s.Kind == policy.StepRefused && s.Seen.Probes > 0 {
		return Text{"result.seen", With{"result": r, "lost": s.Seen.Failures, "checks": checks(s.Seen)}}
	}
	return r
}

// shape is what decides how a step is told; a purpose only where it makes a difference.
type shape struct {
	kind    policy.StepKind
	why     policy.Why
	purpose policy.Purpose
}

var stepKeys = map[shape]Key{
	{kind: policy.StepSuspected}:                                                "step.suspected",
	{kind: policy.StepCleared}:                                                  "step.cleared",
	{kind: policy.StepCleared, why: policy.WhyUnseen}:                           "step.cleared.unseen",
	{kind: policy.StepAlarm}:                                                    "step.alarm",
	{kind: policy.StepTrial}:                                                    "step.trial",
	{kind: policy.StepTrial, why: policy.WhySameAgain}:                          "step.trial.same",
	{kind: policy.StepTrial, why: policy.WhyAsked}:                              "step.trial.asked",
	{kind: policy.StepSettled}:                                                  "step.settled",
	{kind: policy.StepRefused}:                                                  "step.refused",
	{kind: policy.StepRefused, why: policy.WhyNotTried}:                         "step.refused.not-tried",
	{kind: policy.StepRefused, purpose: policy.Revive}:                          "step.refused.same",
	{kind: policy.StepRefused, purpose: policy.Revive, why: policy.WhyNotTried}: "step.refused.same.not-tried",
	{kind: policy.StepRefused, purpose: policy.Restore}:                         "step.refused.back",
	{kind: policy.StepRefused, purpose: policy.Return}:                          "step.refused.back",
	{kind: policy.StepRefused, purpose: policy.HandBack}:                        "step.refused.back",
	{kind: policy.StepCured}:                                                    "step.cured",
	{kind: policy.StepAdopted}:                                                  "step.adopted",
	{kind: policy.StepRestoring}:                                                "step.restoring",
	{kind: policy.StepRestoring, why: policy.WhyWorse}:                          "step.restoring.worse",
	{kind: policy.StepRestored}:                                                 "step.restored",
	{kind: policy.StepRestored, why: policy.WhyWorse}:                           "step.restored.worse",
	{kind: policy.StepHold, why: policy.WhyElsewhere}:                           "step.hold.elsewhere",
	{kind: policy.StepHold, why: policy.WhyUnclean}:                             "step.hold.unclean",
	{kind: policy.StepHold, why: policy.WhyNotTried}:                            "step.hold.not-tried",
	{kind: policy.StepRecovered}:                                                "step.recovered",
	{kind: policy.StepRecovered, why: policy.WhyNoise}:                          "step.recovered.noise",
	{kind: policy.StepLapsed}:                                                   "step.lapsed",
	{kind: policy.StepFailback}:                                                 "step.failback",
	{kind: policy.StepFailedBack}:                                               "step.failed-back",
	{kind: policy.StepReturning}:                                                "step.returning",
	{kind: policy.StepReturning, purpose: policy.HandBack}:                      "step.returning.hand",
	{kind: policy.StepReturned}:                                                 "step.returned",
	{kind: policy.StepReturned, purpose: policy.HandBack}:                       "step.returned.hand",
	{kind: policy.StepPostponed}:                                                "step.postponed",
	{kind: policy.StepPostponed, purpose: policy.Revive}:                        "step.postponed.revive",
	{kind: policy.StepPostponed, why: policy.WhyWayBack}:                        "step.postponed.back",
	{kind: policy.StepUser}:                                                     "step.changed",
	{kind: policy.StepUser, why: policy.WhyAppStopped}:                          "step.stopped",
	{kind: policy.StepUser, why: policy.WhyAppGone}:                             "step.left",
	{kind: policy.StepUser, why: policy.WhyAppLeft}:                             "step.left.instead",
	{kind: policy.StepPaused}:                                                   "step.paused",
	{kind: policy.StepPaused, why: policy.WhyForGood}:                           "step.paused.for-good",
	{kind: policy.StepResumed}:                                                  "step.resumed",
	{kind: policy.StepResumed, why: policy.WhyConfirmed}:                        "step.resumed.confirmed",
	{kind: policy.StepKept}:                                                     "step.kept",
	{kind: policy.StepReviving, why: policy.WhyNotRunning}:                      "step.reviving.not-running",
	{kind: policy.StepReviving, why: policy.WhyFailed}:                          "step.reviving.failed",
	{kind: policy.StepReviving, why: policy.WhyHangs}:                           "step.reviving.hangs",
	{kind: policy.StepReviving, why: policy.WhyMends}:                           "step.reviving.mends",
	{kind: policy.StepRevived}:                                                  "step.revived",
	{kind: policy.StepUnsure}:                                                   "step.unsure",
	{kind: policy.StepAsked}:                                                    "step.asked",
	{kind: policy.StepAsked, purpose: policy.Revive}:                            "step.asked.restart",
	{kind: policy.StepAsked, purpose: policy.Failback}:                          "step.asked.night",
	{kind: policy.StepAnswered, why: policy.WhyYes}:                             "step.answered.yes",
	{kind: policy.StepAnswered, why: policy.WhyNo}:                              "step.answered.no",
	{kind: policy.StepAnswered, why: policy.WhyNo, purpose: policy.Failback}:    "step.answered.no-night",
	{kind: policy.StepExpired}:                                                  "step.expired",
	{kind: policy.StepExpired, purpose: policy.Failback}:                        "step.expired.night",
	{kind: policy.StepExpired, why: policy.WhyUndone}:                           "step.expired.undone",
	{kind: policy.StepWithdrawn}:                                                "step.withdrawn",
}

func stepKey(s policy.Step) Key {
	told := shape{s.Kind, s.Why, s.Purpose}
	if s.Purpose == policy.Trial && s.Protocol == s.Other { // of the same protocol, it was but a restart
		told.purpose = policy.Revive
	}
	if key, own := stepKeys[told]; own {
		return key
	}
	return stepKeys[shape{kind: s.Kind, why: s.Why}]
}
