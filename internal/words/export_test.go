package words

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/policy"
)

// Keys gives every key of the English file, sorted.
func Keys() []Key { return slices.Sorted(maps.Keys(English().texts)) }

// KeysIn gives every key of a language's file.
func KeysIn(tag string) []Key { return slices.Sorted(maps.Keys(In(tag).texts)) }

// Forms gives all that a key has to say in English, placeholders and all.
func Forms(key Key) []string { return English().texts[key].forms() }

// FormsIn gives it in another language, nil where the key is missing there.
func FormsIn(tag string, key Key) []string {
	return In(tag).texts[key].forms()
}

func (e entry) forms() []string {
	switch {
	case e.list != nil:
		return e.list
	case e.other == "" && e.one == "":
		return nil
	case e.one == e.other:
		return []string{e.other}
	}
	return []string{e.one, e.other}
}

// Composed says that a key is put together by the program, from the member of an enum.
func Composed(key Key) bool {
	if strings.HasPrefix(string(key), "entity.") { // package mqtt puts it together, and a test there asks for each
		return true
	}
	if own, isStep := strings.CutPrefix(string(key), "step."); isStep {
		return slices.Contains(steps(), Key(own))
	}
	return slices.Contains(Members(), Key(strings.TrimSuffix(string(key), ".advice")))
}

// steps are the ways in which a step's kind, why and purpose can come together.
var steps = sync.OnceValue(func() (keys []Key) {
	var kinds, whys, purposes []Key
	every(&kinds, "", policy.StepSuspected)
	every(&whys, ".", policy.WhyUnseen)
	every(&purposes, ".", policy.Trial)
	for _, kind := range kinds {
		for _, why := range append(whys, "") {
			for _, purpose := range append(purposes, "") {
				keys = append(keys, kind+why+purpose)
			}
		}
	}
	return keys
})

// Members are the keys of the members of enums that are put together.
func Members() (keys []Key) {
	every(&keys, "result.", policy.Settled)
	every(&keys, "gate.", policy.GateMode)
	every(&keys, "refused.", policy.UnderWay)
	every(&keys, "state.", policy.Starting)
	every(&keys, "gap.", evidence.GapUnasked)
	every(&keys, "gap.of.", evidence.AskedPage)
	every(&keys, "seen.stage.", evidence.NotAsked)
	every(&keys, "seen.trouble.", evidence.NameNotFound)
	every(&keys, "seen.internet.", evidence.InternetUnknown)
	every(&keys, "seen.websockets.", evidence.On)
	return keys
}

// every gives the keys of an enum's members, from one on.
func every[E interface {
	~uint8
	fmt.Stringer
}](keys *[]Key, prefix Key, from E) {
	for e := from; e == from || !strings.HasPrefix(e.String(), "unknown"); e++ {
		*keys = append(*keys, prefix+named(e))
	}
}
