package journal

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tunnelmedic/internal/evidence"
)

// maxHosts bounds the memory: a home has one public name, or a few.
const maxHosts = 8

// Remember notes that Home Assistant greeted through the tunnel at this host, under
// this protocol, on this day (2026-11-21). It changes the record once a day and
// protocol at most, so that a healthy home writes next to nothing.
func (r *Record) Remember(host string, p evidence.Protocol, day string) {
	p = p.Effective()
	if r.Worked[host][p] == day {
		return
	}
	// Copies of the record share the old maps.
	worked, days := maps.Clone(r.Worked), maps.Clone(r.Worked[host])
	if worked == nil {
		worked = map[string]map[evidence.Protocol]string{}
	}
	if days == nil {
		days = map[evidence.Protocol]string{}
	}
	days[p] = day
	worked[host] = days
	for len(worked) > maxHosts {
		delete(worked, oldest(worked, host))
	}
	r.Worked = worked
}

// Ever says whether Home Assistant was ever seen to greet at this host, under any
// protocol.
func (r Record) Ever(host string) bool { return len(r.Worked[host]) > 0 }

// oldest gives the host, other than but, that was seen working longest ago.
func oldest(worked map[string]map[evidence.Protocol]string, but string) string {
	var hosts []string
	for h := range worked {
		if h != but {
			hosts = append(hosts, h)
		}
	}
	last := func(h string) string { return slices.Max(slices.Collect(maps.Values(worked[h]))) }
	slices.Sort(hosts)
	return slices.MinFunc(hosts, func(a, b string) int {
		switch la, lb := last(a), last(b); {
		case la < lb:
			return -1
		case la > lb:
			return 1
		}
		return 0
	})
}

// Peek reads a journal without touching it, for a look beside the daemon that owns
// it. A journal that is not there or cannot be read is an empty one.
func Peek(dir string) Record {
	var r Record
	if raw, err := os.ReadFile(filepath.Join(dir, "journal.json")); err == nil {
		if kept, err := parse(raw); err == nil {
			r = kept
		}
	}
	if refused := refusedBeside(dir); refused != "" {
		r.RefusedToken = refused
	}
	return r
}

// Refuse notes, beside a journal that another process may own, that Home Assistant
// refused a token of this fingerprint. Open takes it over.
func Refuse(dir, fingerprint string) error {
	if err := os.WriteFile(filepath.Join(dir, besideName), []byte(fingerprint+"\n"), 0o600); err != nil {
		return fmt.Errorf("noting that the token was refused: %w", err)
	}
	return nil
}

const besideName = "refused-token"

func refusedBeside(dir string) string {
	raw, err := os.ReadFile(filepath.Join(dir, besideName))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}
