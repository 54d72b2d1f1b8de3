// Package tunnel is the watched add-on: which one it is, which address it serves,
// what protocol it is told to use, and what its connector says of itself.
package tunnel

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/supervisor"
)

// flag is the one form in which the add-on's schema lets the protocol through.
const flag = "--protocol="

// ProtocolOf reads the protocol from the add-on's options. Of several flags the
// last counts, as it does for cloudflared.
func ProtocolOf(o supervisor.Options) (evidence.Protocol, error) {
	list, err := o.RunParameters()
	if err != nil {
		return evidence.Default, err
	}
	for _, s := range slices.Backward(list) {
		if v, ok := strings.CutPrefix(s, flag); ok {
			p, err := evidence.ParseProtocol(v)
			if err != nil || v == "" {
				return evidence.Default, fmt.Errorf("run_parameters of the Cloudflared add-on holds %s%.40s, which cloudflared does not know; it takes auto, quic or http2", flag, v)
			}
			return p, nil
		}
	}
	return evidence.Default, nil
}

// WithProtocol gives options that differ in the protocol alone: other flags stay,
// in order, and one --protocol remains, where the last one stood. Default takes
// the flag away.
func WithProtocol(o supervisor.Options, p evidence.Protocol) (supervisor.Options, error) {
	list, err := o.RunParameters()
	if err != nil {
		return nil, err
	}
	var last = -1
	for i, s := range list {
		if strings.HasPrefix(s, flag) {
			last = i
		}
	}
	var out []string
	for i, s := range list {
		switch {
		case !strings.HasPrefix(s, flag):
			out = append(out, s)
		case i == last && p != evidence.Default:
			out = append(out, flag+p.Flag())
		}
	}
	if last < 0 && p != evidence.Default {
		out = append(out, flag+p.Flag())
	}
	return o.WithRunParameters(slices.Clip(out)), nil
}

// flagName is what a flag may be called; whatever else stands in the list may be a value.
var flagName = regexp.MustCompile(`^--?([A-Za-z][A-Za-z0-9-]{0,39})(?:=|$)`)

// FlagNames gives the names of the flags in run_parameters in order, without their values,
// which may be secret, and without the protocol's; "none" where there are none, "" where
// the list cannot be read.
func FlagNames(o supervisor.Options) string {
	list, err := o.RunParameters()
	if err != nil {
		return ""
	}
	var names []string
	for _, s := range list {
		if m := flagName.FindStringSubmatch(s); m != nil && m[1] != strings.Trim(flag, "-=") && !slices.Contains(names, m[1]) {
			names = append(names, m[1])
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, " ")
}
