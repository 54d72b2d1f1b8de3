package medic

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// errOvertaken ends the loop where the data folder, which could not be read, came back.
var errOvertaken = errors.New("the data folder is back: a new start reads what it holds")

// maxFaults is how many rounds in a row may fail by a fault of the program's own. The
// tunnel is then left in order, and a new start begins with a clean memory.
const maxFaults = 5

// guarded is a round and the wait for the next, which a fault of the program's own does
// not end: what was under way stands in the journal, and the next round takes it up.
func (m *Medic) guarded(ctx context.Context) (err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		m.faults++
		m.state = m.set.Rules.Awake(m.state, time.Now()) // an order that was lost on the way is given again
		m.log.Error().Str("stack", string(debug.Stack())).Msgf("A fault in Tunnel Medic itself: %v. Please report it with these lines.", p)
		if m.faults >= maxFaults {
			err = fmt.Errorf("the loop failed %d times in a row: %v", m.faults, p)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second << m.faults):
		}
	}()
	next, err := m.round(ctx)
	if err != nil || ctx.Err() != nil {
		return err
	}
	m.watchDisk()
	if m.journal.Overtaken() {
		return errOvertaken
	}
	m.faults = 0
	m.wait(ctx, next)
	return nil
}

// watchDisk says once that nothing can be kept, and once that it can again.
func (m *Medic) watchDisk() {
	switch t := m.journal.Trouble(); {
	case t.Err != nil && m.unkept.Err == nil:
		m.log.Error().Err(t.Err).Msg(words.English().Say("trouble.disk", words.With{"error": journal.Plain(t.Err)}) + " " + words.English().GateAdvice(policy.GateDisk))
		m.unkept = t
	case t.Err == nil && m.unkept.Err != nil:
		m.log.Info().Msgf("The disk takes what is written again, after %s; nothing that was held in memory is lost.", time.Since(m.unkept.Since).Round(time.Second))
		m.unkept = t
	default:
		return
	}
	for _, tell := range m.tell {
		tell(m.publish(nil, nil), nil)
	}
}

// troubles are what keeps the program itself from its work, for the people.
func (m *Medic) troubles() (list []words.Text) {
	if m.unkept.Err != nil {
		list = append(list, words.Of("trouble.disk", words.With{"error": journal.Plain(m.unkept.Err)}), words.Of("gate.disk.advice"))
	}
	if m.state.Doubt == policy.Unsure {
		list = append(list, words.Of("trouble.memory"), words.Of("gate.memory.advice"))
	}
	return list
}
