package addon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/web"
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

// serve serves the page until the context ends. The page is for showing: whatever
// takes its address away keeps nothing else from working.
func (d *daemon) serve(ctx context.Context) {
	listener, said, wait := d.listener, d.listener == nil, firstWait
	for ctx.Err() == nil {
		if listener == nil {
			var err error
			if listener, err = d.listen(); err != nil {
				if !said {
					d.log.Error().Err(err).Msg("The page cannot be shown now. Watching goes on; it is tried again.")
					said = true
				}
				if !sleep(ctx, wait) {
					return
				}
				wait = min(2*wait, lastWait)
				continue
			}
			if said {
				d.log.Info().Msg("The page can be shown again.")
			}
			said, wait = false, firstWait
		}
		d.answer(ctx, listener)
		listener = nil
	}
	if listener != nil { // it ended before it began
		_ = listener.Close()
	}
}

// answer serves the page on one listener, until that or the context ends.
func (d *daemon) answer(ctx context.Context, l net.Listener) {
	server := web.Server(d.page)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(d.page.Listener(l)); !errors.Is(err, http.ErrServerClosed) && ctx.Err() == nil {
			d.log.Warn().Err(err).Msg("The page's connection to the network was lost; it is opened again.")
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
