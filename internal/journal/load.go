package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/policy"
)

// The record stands on the disk three times, written in this order, and before
// anything is done that it speaks of: all of it, twice, and then what acting rests on.
// So any one of the three that is whole is true, wherever the power was cut.
const (
	recordName  = "journal.json"
	twinName    = "journal.twin.json"
	essenceName = "essence.json"
)

// keptAside is how many files that could not be used are kept.
const keptAside = 6

// copyOf is one of the three as it was found.
type copyOf struct {
	name       string
	record     Record
	generation uint64
	there      bool  // something stands in its place
	whole      bool  // record is what this program wrote
	newer      error // it is a later version's, and record but what is understood of it
	bad        error
}

func (c copyOf) usable() bool { return c.whole || c.newer != nil }

// readCopy reads one of the three. An error says nothing about the file: the
// machine could not read it now.
func (f folder) readCopy(name string) (copyOf, error) {
	c := copyOf{name: name}
	raw, err := f.ReadFile(f.path(name))
	switch {
	case Passing(err):
		return c, err
	case errors.Is(err, fs.ErrNotExist):
		names, err := f.ReadDir(f.dir) // a link into nowhere is there all the same
		if Passing(err) {
			return c, err
		}
		if c.there = slices.Contains(names, name); c.there {
			c.bad = errors.New("it leads nowhere")
		}
		return c, nil
	case err != nil:
		c.there, c.bad = true, errors.New("it cannot be read as a file")
		return c, nil
	}
	c.there = true
	c.read(raw)
	return c, nil
}

func (c *copyOf) read(raw []byte) {
	var body []byte
	if body, c.generation, c.bad = unseal(raw); c.bad != nil {
		return
	}
	r, err := parse(body, c.name == essenceName)
	if err == nil {
		c.record, c.whole = r, true
		return
	}
	c.bad = err
	if r, understood := salvage(body); understood { // what bears a seal is as its writer meant it
		c.record, c.newer = r, err
	}
}

func parse(body []byte, essence bool) (Record, error) {
	var r Record
	if v := versionOf(body); v > version {
		return r, fmt.Errorf("its version is %d, this program knows %d", v, version)
	}
	if err := strictly(body, &r); err != nil {
		if name, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); unknown {
			return r, fmt.Errorf("it holds %s, which this program does not know", short(name))
		}
		return r, errJSON
	}
	if r.Version != version {
		return r, fmt.Errorf("its version is %d, this program knows %d", r.Version, version)
	}
	if essence {
		return r, r.wayBack().check()
	}
	return r, r.check()
}

// short keeps what a damaged file holds from filling the log.
func short(s string) string { return fmt.Sprintf("%.40s", s) }

func versionOf(body []byte) int {
	var v struct {
		Version int `json:"version"`
	}
	_ = json.Unmarshal(body, &v)
	return v.Version
}

// salvage takes from a later version's record what must not be forgotten: whose
// setting is whose, what may stand there by our doing, the way back, the restarts
// spent, and a pause. What it cannot be sure to understand it does not take.
func salvage(body []byte) (Record, bool) {
	var top struct {
		Slug        string
		Policy      map[string]json.RawMessage
		Intention   *Intention
		Refused     json.RawMessage `json:"refused_token"`
		Elsewhere   map[string]json.RawMessage
		Worked      json.RawMessage
		ClientsTold json.RawMessage `json:"clients_told"`
	}
	if json.Unmarshal(body, &top) != nil || top.Policy["own"] == nil || top.Policy["own_known"] == nil || top.Policy["set"] == nil {
		return Record{}, false
	}
	r := Record{Version: version, Slug: top.Slug, Intention: top.Intention}
	p := &r.Policy
	for name, into := range map[string]any{"own": &p.Own, "own_known": &p.OwnKnown, "set": &p.Set, "doubt": &p.Doubt, "trial": &p.Trial, "failback": &p.Failback,
		"felled": &p.StoppedByUs, "restarts": &p.Restarts, "paused_until": &p.PausedUntil} {
		if raw := top.Policy[name]; raw != nil && json.Unmarshal(raw, into) != nil {
			return Record{}, false
		}
	}
	if r.wayBack().check() != nil {
		return Record{}, false
	}
	// These are worth no refusal.
	for slug, raw := range top.Elsewhere {
		var kept policy.State
		if json.Unmarshal(raw, &kept) == nil && (Record{Policy: kept}).check() == nil {
			if r.Elsewhere == nil {
				r.Elsewhere = map[string]policy.State{}
			}
			r.Elsewhere[slug] = kept
		}
	}
	_ = json.Unmarshal(top.Policy["hold_until"], &p.HoldUntil)
	_ = json.Unmarshal(top.Policy["hold_level"], &p.HoldLevel)
	_ = json.Unmarshal(top.Refused, &r.RefusedToken)
	_ = json.Unmarshal(top.Worked, &r.Worked)
	_ = json.Unmarshal(top.ClientsTold, &r.ClientsTold)
	p.HoldLevel = max(p.HoldLevel, 0)
	return r, true
}

// essence is what acting rests on: enough to find back to the user's own setting,
// and to keep what they allow. Whatever is added to the record that an act may rest
// on belongs here too.
func (r Record) essence() Record {
	p := policy.State{Setting: r.Policy.Setting, Case: r.Policy.Case, Plan: r.Policy.Plan}
	p.Transport, p.Incident, p.Cures = evidence.NoTransport, nil, nil // these may be lost
	return Record{Version: version, Slug: r.Slug, Intention: r.Intention, Elsewhere: r.Elsewhere, Policy: p}
}

// wayBack makes a record of an essence alone. Without its incident a trial cannot
// be judged, so what is under way becomes the way back from it; a fault that lasts
// is found again.
func (r Record) wayBack() Record {
	p, in := r.Policy, r.Intention
	r.Policy.Incident = nil
	t := p.Trial
	if t != nil && t.Purpose == policy.Revive {
		return r // it changes no setting, and is judged on its own
	}
	if p.Doubt == policy.NoDoubt {
		r.Policy.Doubt = policy.Recalled
	}
	if !p.OwnKnown { // so nothing can be under way
		r.Policy.Trial, r.Policy.Failback, r.Intention = nil, nil, nil
		return r
	}
	back := backFrom(p)
	if t == nil {
		t = &policy.OnTrial{}
	}
	if in == nil && !t.Settled && back == p.Set { // nothing is under way
		r.Policy.Trial = nil
		if p.Set != p.Own && p.Failback == nil { // a cure, whose incident is forgotten
			r.Policy.Failback = &policy.Comeback{Wait: 24 * time.Hour, Cured: p.Set}
		}
		return r
	}
	r.Policy.Trial = &policy.OnTrial{Protocol: back, Purpose: policy.HandBack, Since: t.Since}
	r.Intention = intentionBack(r.Slug, p, t, in, back)
	return r
}

// backFrom is the protocol that what is under way leads back to.
func backFrom(p policy.State) evidence.Protocol {
	if p.Trial == nil {
		return p.Set
	}
	//exhaustive:ignore
	switch p.Trial.Purpose {
	case policy.Failback:
		if p.Failback != nil {
			return p.Failback.Cured
		}
	case policy.ByHand:
		return p.Trial.Back
	case policy.Restore, policy.Return, policy.HandBack:
		return p.Trial.Protocol
	}
	return p.Own
}

// intentionBack is the change that goes this way, on from one that was begun; nil if it is not
// known of which app.
func intentionBack(slug string, p policy.State, t *policy.OnTrial, in *Intention, back evidence.Protocol) *Intention {
	way := Intention{Slug: slug, From: p.Set, To: back, Back: back, Purpose: policy.HandBack, Stage: Writing, At: t.Since, StoppedByUs: p.StoppedByUs}
	ours := []evidence.Protocol{t.Protocol, p.Own, p.Set}
	if in != nil {
		way.Slug, way.At, way.Before = in.Slug, in.At, in.Before
		ours = append(ours, in.From, in.To)
		ours = append(ours, in.Ours...)
		if in.To == back {
			way.Stage, way.Process = in.Stage, in.Process
		}
	}
	if way.Slug == "" {
		return nil
	}
	slices.Sort(ours)
	way.Ours = slices.Compact(ours)
	return &way
}

// loaded is what a folder holds.
type loaded struct {
	record     Record
	generation uint64 // of the newest write that was seen
	current    bool   // the three stand on the disk as they should
	aside      []copyOf
	warning    string
}

// load chooses among the three. An error means that nothing is known because
// nothing could be read now.
func (f folder) load() (l loaded, err error) {
	var c [3]copyOf
	for i, name := range []string{recordName, twinName, essenceName} {
		if c[i], err = f.readCopy(name); err != nil {
			return l, err
		}
		l.generation = max(l.generation, c[i].generation)
	}
	l.aside = slices.DeleteFunc(slices.Clone(c[:]), func(c copyOf) bool { return c.bad == nil })
	best, essence := whole(c[0], c[1]), c[2]
	l.current = c[0].generation == c[1].generation && !slices.ContainsFunc(c[:], func(c copyOf) bool { return !c.whole })
	switch {
	case essence.usable() && (!best.usable() || essence.generation > best.generation):
		l.record, l.current = essence.record.wayBack(), false
		l.warning = fmt.Sprintf("The journal was unreadable (%s). What matters was kept a second time: %s. The open incident is forgotten.", reasons(c[:2]), whose(l.record))
	case best.whole:
		l.record = best.record
		if len(l.aside) > 0 {
			l.warning = fmt.Sprintf("The journal was damaged (%s). Nothing is lost: another copy holds all of it.", reasons(c[:]))
		}
	case best.newer != nil:
		l.record = best.record.wayBack()
		l.warning = fmt.Sprintf("The journal is a later version's (%v). %s; the rest is left out.", best.newer, capital(whose(l.record)+" are taken over"))
	default:
		l.record, l.warning = f.nothing(c[:])
	}
	l.record.Version = version
	return l, nil
}

// whole chooses between the two that hold all of it: the newer one that can be used.
func whole(first, twin copyOf) copyOf {
	if !first.usable() || twin.usable() && twin.generation > first.generation {
		return twin
	}
	return first
}

// nothing is the record where none can be read: of a first start, or of one that
// knows that something is lost.
func (f folder) nothing(c []copyOf) (Record, string) {
	lost := slices.ContainsFunc(c, func(c copyOf) bool { return c.there })
	why := reasons(c)
	if !lost {
		// The journal is the first that is written, so what else is here outlived it.
		kept, _ := f.ReadDir(f.path(incidents))
		names, _ := f.ReadDir(f.dir)
		lost = slices.ContainsFunc(kept, func(n string) bool { return strings.HasSuffix(n, ".json") }) || slices.Contains(names, historyName)
		why = "it is gone"
	}
	if !lost {
		return Record{}, ""
	}
	return Record{Policy: policy.State{Setting: policy.Setting{Doubt: policy.Unsure}}}, fmt.Sprintf("The journal was unreadable (%s). Whether the protocol that is set now is your own is not known any more, so nothing is changed: "+
		"set the one you want in the Cloudflared app's run_parameters, or, if the present one is right, choose Resume on Tunnel Medic's page.", why)
}

func reasons(c []copyOf) string {
	var list []string
	for _, c := range c {
		if c.bad != nil {
			list = append(list, c.name+": "+c.bad.Error())
		}
	}
	if len(list) == 0 {
		return "it is gone, or an old one stands in its place"
	}
	return strings.Join(list, "; ")
}

func whose(r Record) string {
	if !r.Policy.OwnKnown {
		return "what may be done"
	}
	return fmt.Sprintf("your own setting (%s), the way back to it and the restarts made", r.Policy.Own)
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
