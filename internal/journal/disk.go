package journal

import (
	"errors"
	"io"
	"os"
	"slices"
	"syscall"
)

// Disk is what the journal asks of the file system. Tests hand in one that fails.
type Disk interface {
	MkdirAll(dir string) error
	ReadFile(path string) ([]byte, error)
	ReadDir(dir string) ([]string, error) // the entries' names, sorted
	Create(dir string) (File, error)      // a new file under a name of its own, .new-*
	Rename(from, to string) error
	Remove(path string) error
	SyncDir(dir string) error // forces the folder's entries to the disk
}

// File is a file that is being written.
type File interface {
	io.WriteCloser
	Name() string // its path
	Sync() error
}

// realDisk is the machine's.
type realDisk struct{}

func (realDisk) MkdirAll(dir string) error            { return os.MkdirAll(dir, 0o700) }
func (realDisk) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }
func (realDisk) Create(dir string) (File, error) {
	f, err := os.CreateTemp(dir, fresh)
	if err != nil {
		return nil, err
	}
	return f, nil
}
func (realDisk) Rename(from, to string) error { return os.Rename(from, to) }
func (realDisk) Remove(path string) error     { return os.Remove(path) }

func (realDisk) ReadDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (realDisk) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// RealDisk is the machine's own file system.
func RealDisk() Disk { return realDisk{} }

// Plain says in a person's words why the disk does not do what it should.
func Plain(err error) string {
	for _, k := range []struct {
		is   []error
		text string
	}{
		{[]error{syscall.ENOSPC, syscall.EDQUOT}, "the disk is full"},
		{[]error{syscall.EROFS}, "the disk is read-only"},
		{[]error{syscall.EMFILE, syscall.ENFILE}, "no more files can be opened"},
		{[]error{syscall.EIO}, "the disk reports errors"},
		{[]error{os.ErrNotExist, syscall.ENOTDIR}, "the data folder is missing"},
		{[]error{os.ErrPermission, syscall.EPERM}, "the data folder may not be written to"},
	} {
		if oneOf(err, k.is...) {
			return k.text
		}
	}
	return "the disk cannot be written to"
}

// Passing says whether an error is one of a machine in need, which tells nothing
// about the file that was asked for: it may be read in a minute.
func Passing(err error) bool {
	return oneOf(err, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EINTR, syscall.EAGAIN)
}

func oneOf(err error, kinds ...error) bool {
	return slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) })
}
