package lab

import (
	_ "embed"
	"encoding/json"
	"maps"
)

//go:embed samples.json
var samplesFile []byte

// samples are answers of Supervisor's, Core's, cloudflared's and Cloudflare's.
var samples = func() (all map[string]map[string]any) {
	if err := json.Unmarshal(samplesFile, &all); err != nil {
		panic(err) // the file is part of the program
	}
	return all
}()

// sample is one of the answers, with what is otherwise in this world now.
func sample(name string, now map[string]any) map[string]any {
	whole := maps.Clone(samples[name])
	maps.Copy(whole, now)
	return whole
}
