package main

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"
)

const (
	prSetNoNewPrivs = 38         // PR_SET_NO_NEW_PRIVS of linux/prctl.h
	capabilityV3    = 0x20080522 // _LINUX_CAPABILITY_VERSION_3 of linux/capability.h
)

// shedPowers gives up every capability that the container has and the way to new
// ones, for the rest of the process's life. What is left of root is its name: it
// reads and writes files that belong to root, as Supervisor's are. The AppArmor
// profile grants no capability either; this holds where AppArmor does not run.
func shedPowers() error {
	header := struct {
		version uint32
		pid     int32
	}{version: capabilityV3}
	var none [2]struct{ effective, permitted, inheritable uint32 }
	for what, call := range map[string]func() syscall.Errno{
		"prctl(PR_SET_NO_NEW_PRIVS)": func() syscall.Errno {
			_, _, err := syscall.AllThreadsSyscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0)
			return err
		},
		"capset": func() syscall.Errno {
			_, _, err := syscall.AllThreadsSyscall(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none)), 0)
			return err
		},
	} {
		// A build with C in it, as on a developer's machine, cannot do this to all of its threads; the image's has none.
		if err := call(); err != 0 && !errors.Is(err, syscall.ENOTSUP) {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}
