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

// errand is something that is asked for in the background, one at a time.
type errand[T any] struct {
	out   bool
	found chan *T // nil: nothing came of it
}

func newErrand[T any]() errand[T] { return errand[T]{found: make(chan *T, 1)} }

func (e *errand[T]) run(b *background, what string, limit time.Duration, ask func(context.Context) T) {
	e.out = true
	b.run(what, limit, func(ctx context.Context) {
		var found *T
		defer func() { e.found <- found }()     // one at a time: there is room
		if f := ask(ctx); b.life.Err() == nil { // what was not heard because the program ends says nothing
			found = &f
		}
	})
}

// take takes what was found meanwhile; nil for nothing.
func (e *errand[T]) take() (found *T) {
	select {
	case found = <-e.found:
		e.out = false
	default:
	}
	return found
}

// survive does something whose own fault must not take the rest down.
func survive(log zerolog.Logger, what string, do func()) {
	defer func() {
		if p := recover(); p != nil {
			log.Error().Str("stack", string(debug.Stack())).Msgf("A fault in Tunnel Medic itself, while %s: %v.", what, p)
		}
	}()
	do()
}
