package journal

import (
	"cmp"
	"fmt"
	"maps"
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
	last := func(h string) string { return slices.Max(slices.Collect(maps.Values(worked[h]))) }
	hosts := slices.DeleteFunc(slices.Sorted(maps.Keys(worked)), func(h string) bool { return h == but })
	return slices.MinFunc(hosts, func(a, b string) int { return strings.Compare(last(a), last(b)) })
}

// Peek reads a journal without touching it, for a look beside the daemon that owns
// it. A journal that is not there or cannot be read is an empty one.
func Peek(dir string) Record {
	f := folder{RealDisk(), dir}
	l, err := f.load()
	if err != nil {
		l.record = Record{}
	}
	l.record.RefusedToken = cmp.Or(f.refusedBeside(), l.record.RefusedToken)
	return l.record
}

// Refuse notes, beside a journal that another process may own, that Home Assistant
// refused a token of this fingerprint. Open takes it over.
func Refuse(dir, print string) error {
	if err := (folder{RealDisk(), dir}).put(besideName, []byte(print+" "+sum([]byte(print))+"\n")); err != nil {
		return fmt.Errorf("noting that the token was refused: %w", err)
	}
	return nil
}

const besideName = "refused-token"

func (f folder) refusedBeside() string {
	raw, err := f.ReadFile(f.path(besideName))
	if err != nil {
		return ""
	}
	print, check, _ := strings.Cut(strings.TrimSpace(string(raw)), " ")
	if check != sum([]byte(print)) {
		return ""
	}
	return print
}
