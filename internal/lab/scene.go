package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"tunnelmedic/internal/network"
)

// scene is what all parts of a world share: its lock, its end, and the wait for a change.
type scene struct {
	ctx       context.Context
	cancel    context.CancelFunc
	wg        sync.WaitGroup
	way       network.Network
	different func() // after something was done later

	mu     sync.Mutex
	change chan struct{} // closed and replaced at every change
	closed bool
}

func newScene() scene {
	ctx, cancel := context.WithCancel(context.Background())
	return scene{ctx: ctx, cancel: cancel, change: make(chan struct{})}
}

// enter counts somebody among those whose end the world waits for, unless it has ended.
func (w *scene) enter() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.wg.Add(1)
	}
	return !w.closed
}

// turn wakes everyone who waits. The caller holds mu.
func (w *scene) turn() {
	close(w.change)
	w.change = make(chan struct{})
}

// after does something to the world later, unless it has ended. The caller holds mu.
func (w *scene) after(d time.Duration, do func()) {
	if w.closed {
		return
	}
	w.wg.Add(1)
	go func() {
		defer w.wg.Done()
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.sleep(w.ctx, d) {
			do()
			w.different()
		}
	}()
}

// Wait blocks until cond holds, looking again at every change of the world, or
// until the context ends. cond runs without the world's lock: it uses the
// methods of World.
func (w *scene) Wait(ctx context.Context, cond func() bool) error {
	for {
		w.mu.Lock()
		change := w.change
		w.mu.Unlock()
		if cond() {
			return nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the lab's world: %w", ctx.Err())
		case <-w.ctx.Done():
			return errors.New("waiting for the lab's world: it has been closed")
		}
	}
}

// sleep waits without mu, which the caller holds before and after. It says
// whether the time ran out on its own.
func (w *scene) sleep(ctx context.Context, d time.Duration) bool {
	w.mu.Unlock()
	defer w.mu.Lock()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// until waits without mu, which the caller holds before and after, until cond
// holds (true) or d has passed or the context has ended (false).
func (w *scene) until(ctx context.Context, d time.Duration, cond func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for !cond() {
		change := w.change
		w.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
			w.mu.Lock()
			return cond()
		}
		w.mu.Lock()
	}
	return true
}

// silence never answers: it ends when the visitor goes, or the world.
func (w *scene) silence(req *http.Request) {
	select {
	case <-req.Context().Done():
	case <-w.ctx.Done():
	}
	panic(http.ErrAbortHandler)
}
