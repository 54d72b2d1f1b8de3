//go:build image

package main

func worlds() []command { return nil }
