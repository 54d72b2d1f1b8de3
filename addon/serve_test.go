package addon_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tunnelmedic/addon"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/network"
)

// An address that is taken keeps nobody from watching, and the page comes when it is free.
func TestATakenPortIsNoBadOption(t *testing.T) {
	t.Parallel()
	h := settle(t, lab.Options{})
	l, err := net.Listen("tcp", h.env["TUNNELMEDIC_LISTEN"])
	if err != nil {
		t.Fatal(err)
	}
	h.start(t)
	h.wait(t, "it watches", h.told("", "healthy"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	h.wait(t, "the page is there", func() bool { return h.state() == "healthy" })
	h.stop(t)
	if n := strings.Count(h.log.all(), "The page cannot be shown now"); n != 1 {
		t.Errorf("it is said %d times", n)
	}
}

// needy is a disk of a machine that has no file descriptors left for a while.
type needy struct {
	journal.Disk
	until time.Time
	err   error
}

func (d needy) ReadDir(dir string) ([]string, error) {
	if time.Now().Before(d.until) {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: d.err}
	}
	return d.Disk.ReadDir(dir)
}

// Only a bad option is a person's to put right; what the machine cannot give now is
// waited for, after growing pauses, and said once.
func TestAMachineInNeedIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logBook{}
		env := []string{"SUPERVISOR_TOKEN=x", "TUNNELMEDIC_DATA_DIR=" + t.TempDir(), "TUNNELMEDIC_OPTIONS_FILE=/nonexistent", "TUNNELMEDIC_PUBLIC_URL=https://ha.example.com"}
		tries := 0
		nobody := network.Network{
			Dialer: func(context.Context, string, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED },
			Listener: func(string, string) (net.Listener, error) {
				tries++
				return nil, &net.OpError{Op: "listen", Err: &net.AddrError{Err: "no such address"}}
			},
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		err := addon.RunIn(ctx, env, "test", log, addon.Surroundings{Net: nobody, Disk: needy{journal.RealDisk(), time.Now().Add(5 * time.Minute), syscall.EMFILE}})
		var setup *addon.SetupError
		if took := time.Since(began); !errors.As(err, &setup) || took < 5*time.Minute || took > 7*time.Minute || tries != 1 {
			t.Errorf("after %v: %v, %d tries to listen", took, err, tries)
		}
		if n := strings.Count(log.all(), "cannot start yet"); n != 1 {
			t.Errorf("it is said %d times\n%s", n, log)
		}

		// A stop meanwhile ends it well.
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := addon.RunIn(ctx, env, "test", log, addon.Surroundings{Net: nobody, Disk: needy{journal.RealDisk(), time.Now().Add(time.Hour), syscall.EMFILE}}); err != nil {
			t.Errorf("stopped meanwhile: %v", err)
		}
	})
}
