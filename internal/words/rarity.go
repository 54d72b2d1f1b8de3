package words

import (
	"math"

	"tunnelmedic/internal/detect"
)

// Rarity says how much evidence is worth, in years of chance; "" where that is less than
// two, and says nothing.
func (l *Lang) Rarity(r detect.Rarity) string {
	if r.Years < 2 {
		return ""
	}
	// Two digits: what is assumed is not known any better.
	unit := math.Pow(10, math.Max(0, math.Floor(math.Log10(r.Years))-1))
	return l.Say("page.evidence-rarity", With{"years": int(math.Floor(r.Years/unit) * unit), "share": Share(r.Silent)})
}
