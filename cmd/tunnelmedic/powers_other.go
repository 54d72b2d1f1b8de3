//go:build !linux

package main

// shedPowers has nothing to give up: only Linux divides what root may do.
func shedPowers() error { return nil }
