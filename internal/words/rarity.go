package words

import (
	"math"

	"tunnelmedic/internal/detect"
)

// Rarity says how much evidence is worth, in years of chance; nothing where that is less than
// two, and says nothing.
func Rarity(r detect.Rarity) Text {
	if r.Years < 2 {
		return Text{}
	}
	// Two digits: what is assumed is not known any better.
	unit := math.Pow(10, math.Max(0, math.Floor(math.Log10(r.Years))-1))
	return Text{"page.evidence-rarity", With{"years": int(math.Floor(r.Years/unit) * unit), "share": Share(r.Silent)}}
}
