//go:build race

package web

// raceDetector makes everything many times slower.
const raceDetector = true
