package seeds

import (
	"reflect"
	"time"

	"tunnelmedic/internal/journal"
)

// forgets is by how much a clock must have gone ahead for a restart of this episode to be
// older than a day: some hours go by in the episode itself.
const forgets = 14 * time.Hour

// shift makes the next life's clock differ from the last one's: time in a bubble cannot
// jump, so everything that the journal remembers does, the other way.
func (p *play) shift(ahead time.Duration) {
	j, _, err := journal.OpenOn(p.disk.headFor(), dataDir, time.Now())
	if err != nil {
		return
	}
	_ = j.Update(func(r *journal.Record) { move(reflect.ValueOf(r).Elem(), -ahead) }) // a disk that fails keeps its times
	p.disk.kill(nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ahead += max(ahead, 0); p.ahead >= forgets { // a program whose clock says tomorrow cannot know better
		p.ahead, p.budget = 0, p.budget+p.daily
	}
}

// move adds to every moment in a value.
func move(v reflect.Value, d time.Duration) {
	//exhaustive:ignore
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			fresh := reflect.New(v.Type().Elem())
			fresh.Elem().Set(v.Elem())
			move(fresh.Elem(), d)
			v.Set(fresh)
		}
	case reflect.Slice:
		for i := range v.Len() {
			move(v.Index(i), d)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			one := reflect.New(v.Type().Elem()).Elem()
			one.Set(v.MapIndex(k))
			move(one, d)
			v.SetMapIndex(k, one)
		}
	case reflect.Struct:
		if at, ok := v.Interface().(time.Time); ok {
			if !at.IsZero() && v.CanSet() {
				v.Set(reflect.ValueOf(at.Add(d)))
			}
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				move(v.Field(i), d)
			}
		}
	}
}
