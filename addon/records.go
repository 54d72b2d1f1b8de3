package addon

import (
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/secret"
)

// Records opens what the daemon has recorded, for reading alone, and gives what
// cuts this house's secrets out of a text. The daemon may be running meanwhile.
func Records(environ []string) (*journal.Journal, func(string) string, error) {
	o, _, err := LoadOptions(environ)
	if err != nil {
		return nil, nil, err
	}
	keeper := &secret.Keeper{}
	keeper.Add(o.secrets()...)
	j, err := journal.Reader(o.DataDir)
	return j, keeper.Scrub, err
}
