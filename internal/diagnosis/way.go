package diagnosis

import (
	"encoding/json"

	"tunnelmedic/internal/enum"
	"tunnelmedic/internal/evidence"
)

// Place is a part of the way in, from outside to Home Assistant. The zero value is none of
// them: the cause lies elsewhere, or is not known.
type Place uint8

const (
	Nowhere         Place = iota
	AtVisitors            // whoever is outside: phones, browsers, strangers
	ToCloudflare          // the public name, and the way from outside to Cloudflare
	AtCloudflare          // what Cloudflare does with a request, and its settings
	AtTunnel              // cloudflared, and its connections with Cloudflare
	ToHomeAssistant       // from cloudflared on: its rules, and what stands in between
	AtHomeAssistant

	NumPlaces = iota
)

var placeNames = []string{"nowhere", "visitors", "to-cloudflare", "cloudflare", "tunnel", "to-home-assistant", "home-assistant"}

func (p Place) String() string { return enum.Name(placeNames, p) }

// MarshalText writes the place's name.
func (p Place) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads a place's name.
func (p *Place) UnmarshalText(b []byte) error { return enum.Parse(placeNames, "place", b, p) }

// Place is where on the way in the cause lies.
func (c Cause) Place() Place { return c.row().Place }

// Sight is how a part of the way was seen. The zero value is not at all.
type Sight uint8

const (
	Unseen   Sight = iota
	Passes         // a request came through it, or it answered for itself
	Silent         // it was asked and did not answer: what broke elsewhere may be why
	Breaks         // the cause lies here
	Ends           // the checks get no further than here; what comes after may be well
	Doubtful       // something is wrong here, although the checks succeed, or some of them do
)

var sightNames = []string{"unseen", "passes", "silent", "breaks", "ends", "doubtful"}

func (s Sight) String() string { return enum.Name(sightNames, s) }

// MarshalText writes unseen, passes, silent, breaks, ends or doubtful.
func (s Sight) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (s *Sight) UnmarshalText(b []byte) error { return enum.Parse(sightNames, "sight", b, s) }

// Way is the way in, part by part. What was not looked at is Unseen: that it works is never
// concluded from what lies before or behind it failing to fail.
type Way [NumPlaces]Sight

// MarshalJSON writes the parts by their names.
func (w Way) MarshalJSON() ([]byte, error) {
	parts := map[Place]Sight{}
	for p := AtVisitors; p < NumPlaces; p++ {
		parts[p] = w[p]
	}
	return json.Marshal(parts)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (w *Way) UnmarshalJSON(b []byte) error {
	var parts map[Place]Sight
	if err := json.Unmarshal(b, &parts); err != nil {
		return err
	}
	*w = Way{}
	for p, s := range parts {
		w[p] = s
	}
	return nil
}

// WayIn lays out along the way what the evidence shows, and marks where the cause lies.
func WayIn(e evidence.Evidence, d Diagnosis) (w Way) {
	through := e.Public.Healthy() && e.Public.CFRay() != "" && !d.Elsewhere
	if cloudflare(e.Public) || cloudflare(e.Page) {
		w[ToCloudflare], w[AtCloudflare] = Passes, Passes
	}
	w[AtTunnel] = seen(through || e.Connector.Up(), e.Connector.Asked || e.AddOn.Asked && e.AddOn.State != evidence.StateStarted)
	w[AtHomeAssistant] = seen(through || e.Direct.Healthy(), e.Direct.Done())
	// A page may be anybody's whom the checks do not get past, a login's or a cache's.
	page := cloudflare(e.Page) && e.Page.Status == 200 && !e.Page.FromCache() && !d.Cause.Blinds()
	if through || page && !d.Elsewhere {
		w[ToHomeAssistant] = Passes
	}
	w.Mark(d.Cause, d.Cause.marks())
	return w
}

// marks is how the part is seen in which a cause lies.
func (c Cause) marks() Sight {
	switch {
	case c.Blinds():
		return Ends
	case c.ChecksSucceed():
		return Doubtful
	}
	return Breaks
}

// seen is how a part was seen that was asked, and may have answered for itself.
func seen(passes, asked bool) Sight {
	switch {
	case passes:
		return Passes
	case asked:
		return Silent
	}
	return Unseen
}

// Mark notes how it is where a cause lies.
func (w *Way) Mark(c Cause, s Sight) {
	if p := c.Place(); p != Nowhere {
		w[p] = s
	}
}
