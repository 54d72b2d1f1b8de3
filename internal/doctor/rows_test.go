package doctor

import (
	"slices"
	"testing"

	"tunnelmedic/internal/survey"
)

// A look that is added to the plan is shown.
func TestEveryLookOfThePlanHasARow(t *testing.T) {
	for n := survey.Name(0); n.String() != "unknown"; n++ {
		if !slices.ContainsFunc(table[:], func(r rowOf) bool { return slices.Contains(r.of, n) }) {
			t.Errorf("%s has no row: add one to table in rows.go", n)
		}
	}
}
