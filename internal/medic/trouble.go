package medic

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/rs/zerolog"

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
		m.state = m.rules.Awake(m.state, time.Now()) // an order that was lost on the way is given again
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

// watchDisk has it told when nothing can be kept, and when it can again.
func (m *Medic) watchDisk() {
	if m.disk.changed() {
		m.show(nil, nil, nil)
	}
}

// diskWatch says once that nothing can be kept, and once that it can again.
type diskWatch struct {
	journal *journal.Journal
	log     zerolog.Logger
	told    journal.Trouble
}

func (w *diskWatch) changed() bool {
	switch t := w.journal.Trouble(); {
	case t.Err != nil && w.told.Err == nil:
		w.log.Error().Err(t.Err).Msg(words.English().Say("trouble.disk", words.With{"error": journal.Plain(t.Err)}) + " " + words.English().Text(words.GateAdvice(policy.GateDisk)))
		w.told = t
	case t.Err == nil && w.told.Err != nil:
		w.log.Info().Msgf("The disk can be written again, after %s; nothing that was held in memory is lost.", time.Since(w.told.Since).Round(time.Second))
		w.told = t
	default:
		return false
	}
	return true
}

// trouble is what people are told of it.
func (w *diskWatch) trouble() []words.Text {
	if w.told.Err == nil {
		return nil
	}
	return []words.Text{words.Of("trouble.disk", words.With{"error": journal.Plain(w.told.Err)}), words.Of("gate.disk.advice")}
}

// doubt is what people are told where it is not known whether the present protocol is
// their own.
func doubt(s policy.State) []words.Text {
	if s.Doubt != policy.Unsure {
		return nil
	}
	return []words.Text{words.Of("trouble.memory"), words.Of("gate.memory.advice")}
}

// onChange logs a trouble, and again only when it has changed.
type onChange string

func (o *onChange) say(log zerolog.Logger, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != string(*o) && text != "" {
		log.Warn().Msg(text)
	}
	*o = onChange(text)
}
