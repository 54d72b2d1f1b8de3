package web

import (
	"context"
	"reflect"
	"time"

	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/words"
)

// Whole gives a page what it needs beside what a test says of it.
func Whole(c Config) Config {
	whole := Config{Medic: &loop{status: wellNow()}, Hands: &loop{}, Incidents: shelf{}, Feed: NewFeed(),
		History:  func() journal.History { return journal.History{} },
		Location: func() *time.Location { return time.UTC },
		Report:   func(i journal.Incident) string { return "# " + i.ID + "\n" + i.Steps[len(i.Steps)-1].Text },
		Doctor:   func(context.Context, *words.Lang, func(DoctorRow)) (string, error) { return "", nil },
		Forget:   func(context.Context) error { return nil },
		Test:     func(context.Context) (reached, failed []string, err error) { return nil, nil, nil },
		Wrong:    func() []words.Text { return nil },
		Screens:  func(string) Screens { return Screens{} },
		Admin:    func(context.Context, string) (bool, error) { return true, nil },
		Sick:     func() string { return "" },
		limit:    c.limit,
	}
	said, to := reflect.ValueOf(c), reflect.ValueOf(&whole).Elem()
	for i := range said.NumField() {
		if f := said.Field(i); to.Field(i).CanSet() && !f.IsZero() {
			to.Field(i).Set(f)
		}
	}
	return whole
}
