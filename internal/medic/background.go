package medic

import (
	"context"
	"runtime/debug"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// background is what goes on beside the loop, for as long as the loop lives.
type background struct {
	life context.Context
	log  zerolog.Logger
	all  sync.WaitGroup
}

// run does something for at most so long. A fault in it is its own.
func (b *background) run(what string, limit time.Duration, do func(context.Context)) {
	b.all.Go(func() {
		ctx, cancel := context.WithTimeout(b.life, limit)
		defer cancel()
		survive(b.log, what, func() { do(ctx) })
	})
}

// over says that the loop has ended, or ends.
func (b *background) over() bool { return b.life.Err() != nil }

// survive does something whose own fault must not take the rest down.
func survive(log zerolog.Logger, what string, do func()) {
	defer func() {
		if p := recover(); p != nil {
			log.Error().Str("stack", string(debug.Stack())).Msgf("A fault in Tunnel Medic itself, while %s: %v.", what, p)
		}
	}()
	do()
}
