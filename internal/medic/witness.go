package medic

import (
	"github.com/rs/zerolog"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/words"
)

// sayOthers logs once what other people meet.
func sayOthers(log zerolog.Logger, j *journal.Journal, d diagnosis.Diagnosis, before, now diagnosis.Others) {
	if f := d.Clients; f != nil {
		if said := now.Refused.Said; !j.Record().ClientsTold.Equal(said) {
			log.Info().Uint64("refused", f.Refused).Int("good_probes", f.Good).Msg(words.English().Text(words.TurnedAway(*f)) + ".")
			_ = j.Update(func(r *journal.Record) { r.ClientsTold = said }) // memory has it
		}
	}
	if c := d.Closing; c != nil && !now.Brief.Said.Equal(before.Brief.Said) {
		log.Warn().Uint64("brief", c.Brief).Int("logged", c.Logged).Int("good_probes", c.Good).Msg(words.English().Summary(d))
	}
}
