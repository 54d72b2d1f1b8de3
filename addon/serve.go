package addon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/journal"
)

// How long something that this machine does not give now is waited for: the waits
// double.
const (
	firstWait = time.Second
	lastWait  = time.Minute
)

// ofTheMachine says whether an error is one of a machine in need: no option of a
// person's is to blame, and in a minute all may be well.
func ofTheMachine(err error) bool {
	return journal.Passing(err) || errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ENOBUFS)
}

// taken says whether a well-formed address cannot be listened on now. What is no
// address fails before the system is asked.
func taken(err error) bool {
	_, asked := errors.AsType[*os.SyscallError](err)
	return asked || ofTheMachine(err)
}

// window is what the program shows at an address of its own.
type window struct {
	name   string // "The page"
	open   func() (net.Listener, error)
	first  net.Listener // nil: somebody else has the address for now
	server func() *http.Server
	guard  func(net.Listener) net.Listener // who is let in
	log    zerolog.Logger
}

// newWindow opens an address; somebody else may have it for now. variable is the name of the
// environment variable that sets it.
func newWindow(in Surroundings, address, variable string, w window) (*window, error) {
	w.open = func() (net.Listener, error) { return in.Net.Listen("tcp", address) }
	var err error
	switch w.first, err = w.open(); {
	case err == nil:
		return &w, nil
	case !taken(err):
		return nil, fmt.Errorf("%s's address cannot be used: %w; set %s%s to another one", strings.Replace(w.name, "The", "the", 1), err, Prefix, variable)
	}
	w.first = nil
	w.log.Error().Err(err).Msg(w.name + " cannot be shown now. Watching goes on; it is tried again.")
	return &w, nil
}

// serve serves it until the context ends. It is for showing: whatever takes its address away keeps
// nothing else from working.
func (w *window) serve(ctx context.Context) {
	listener, said, wait := w.first, w.first == nil, firstWait
	for ctx.Err() == nil {
		if listener == nil {
			var err error
			if listener, err = w.open(); err != nil {
				if !said {
					w.log.Error().Err(err).Msg(w.name + " cannot be shown now. Watching goes on; it is tried again.")
					said = true
				}
				if !sleep(ctx, wait) {
					return
				}
				wait = min(2*wait, lastWait)
				continue
			}
			if said {
				w.log.Info().Msg(w.name + " can be shown again.")
			}
			said, wait = false, firstWait
		}
		w.answer(ctx, listener)
		listener = nil
	}
	if listener != nil { // it ended before it began
		_ = listener.Close()
	}
}

// answer serves on one listener, until that or the context ends.
func (w *window) answer(ctx context.Context, l net.Listener) {
	server := w.server()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(w.guard(l)); !errors.Is(err, http.ErrServerClosed) && ctx.Err() == nil {
			w.log.Warn().Err(err).Msg(w.name + "'s connection to the network was lost; it is opened again.")
		}
	}()
	select {
	case <-ended:
		_ = server.Close()
		sleep(ctx, firstWait)
		return
	case <-ctx.Done():
	}
	bye, done := context.WithTimeout(context.Background(), farewell)
	defer done()
	if server.Shutdown(bye) != nil {
		_ = server.Close() // a stream that never ends: its reader will find out
	}
	<-ended
}

// room runs a room that tells, and again after a fault of its own: it must not take the
// watch down with it.
func (d *daemon) room(ctx context.Context, name string, run func()) {
	for wait := firstWait; ctx.Err() == nil; wait = min(2*wait, lastWait) {
		fault := func() (fault any) {
			defer func() {
				if fault = recover(); fault != nil {
					d.log.Error().Str("stack", string(debug.Stack())).Msgf("A fault in Tunnel Medic itself, in %s: %v. Please report it with these lines.", name, fault)
				}
			}()
			run()
			return nil
		}()
		if fault == nil || !sleep(ctx, wait) {
			return
		}
	}
}

// sleep waits; it says whether the context still lives.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// patiently composes the program, and waits where the machine cannot give what that
// takes. Any other error is a person's to put right.
func patiently[T any](ctx context.Context, say func(string), make func() (T, error)) (T, error) {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		made, err := make()
		switch {
		case err == nil:
			return made, nil
		case !ofTheMachine(err):
			return made, &SetupError{err}
		case wait == firstWait:
			say(fmt.Sprintf("Tunnel Medic cannot start yet: %v. It is tried again until it can.", err))
		}
		if !sleep(ctx, wait) {
			return made, ctx.Err()
		}
	}
}
