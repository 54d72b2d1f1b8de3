// Package enum names the values of small enumerations, as they are kept and shown.
package enum

import (
	"fmt"
	"slices"
)

// Name gives a value's name, of those that stand in the order of the values.
func Name[E ~uint8](names []string, e E) string {
	if int(e) >= len(names) {
		return "unknown"
	}
	return names[e]
}

// Parse reads the name of a value; what bears none becomes the zero value, and an error says
// what it should have been.
func Parse[E ~uint8](names []string, what string, text []byte, e *E) error {
	n := slices.Index(names, string(text))
	*e = E(max(n, 0))
	if n < 0 {
		return fmt.Errorf("%s %.40q is none that this program knows", what, text)
	}
	return nil
}
