//go:build image

package main

func worlds() []command { return nil }

// leftOut are the commands that the source has and the image has not.
var leftOut = []string{"lab", "simulate"}
