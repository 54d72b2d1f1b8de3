package journal_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"tunnelmedic/internal/journal"
)

// A real disk that is full, where this machine allows one to be made.
func TestARealDiskThatIsFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("no file system may be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
	j := open(t, dir)
	update(t, j, func(r *journal.Record) { r.Policy, r.Slug = sick(), intention().Slug })
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("it is not full: %v", err)
	}
	if err := j.Update(func(r *journal.Record) { r.Policy.HoldLevel = 1 }); err == nil || journal.Plain(err) != "the disk is full" {
		t.Errorf("got %v", err)
	}
	if got := open(t, dir).Record(); got.Policy.Incident == nil {
		t.Errorf("the earlier journal is gone: %+v", got)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := j.Intend(intention()); err != nil || open(t, dir).Record().Policy.HoldLevel != 1 {
		t.Errorf("with room again: %v", err)
	}
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("it cannot be made read-only: %v", err)
	}
	again, warning, err := journal.Open(dir, night)
	if err != nil || warning != "" || journal.Plain(again.Trouble().Err) != "the disk is read-only" || again.Record().Policy.Incident == nil {
		t.Errorf("read-only: %v, %q, trouble %v", err, warning, again.Trouble().Err)
	}
}
