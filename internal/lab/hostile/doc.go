// Package hostile holds the proof that treatment never makes it worse: whatever
// fails at whatever moment, the household ends with cloudflared running, with every
// option that was not ours byte for byte as it was, and with its own protocol
// unless another one was proven better.
//
// It is tests only. They put the unmodified daemon into the lab's world behind a
// gate that spoils any call of Supervisor's API before or after its effect, kill
// the process at every step, and let people interfere. One command shows it all,
// with a table of step × fault → outcome:
//
//	go test ./internal/lab/hostile -v -parallel 16 -timeout 40m -hostile.full
//
// With -hostile.sample it is a sample of everything, which .ci/hostile runs; without
// a flag a taste, beside the other tests.
package hostile
