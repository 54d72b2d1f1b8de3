// Package tunnel is the watched add-on: which one it is, which address it serves,
// what protocol it is told to use, and what its connector says of itself.
package tunnel

import (
	"errors"
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
	v, set := last(list, flag)
	if !set {
		return evidence.Default, nil
	}
	p, err := evidence.ParseProtocol(v)
	if err != nil || v == "" {
		return evidence.Default, fmt.Errorf("the run parameters of the Cloudflared app contain %s%.40s, which cloudflared does not know; it takes auto, quic or http2", flag, v)
	}
	return p, nil
}

// last gives the value of the last of several flags.
func last(list []string, flag string) (value string, set bool) {
	for _, s := range slices.Backward(list) {
		if value, set = strings.CutPrefix(s, flag); set {
			return value, true
		}
	}
	return "", false
}

// WithProtocol gives options that differ in the protocol alone: other flags stay,
// in order, and one --protocol remains, where the last one stood. Default takes
// the flag away.
func WithProtocol(o supervisor.Options, p evidence.Protocol) (supervisor.Options, error) {
	list, err := o.RunParameters()
	if err != nil {
		return nil, err
	}
	stood := -1 // the last one
	for i, s := range list {
		if strings.HasPrefix(s, flag) {
			stood = i
		}
	}
	var out []string
	for i, s := range list {
		switch {
		case !strings.HasPrefix(s, flag):
			out = append(out, s)
		case i == stood && p != evidence.Default:
			out = append(out, flag+p.Flag())
		}
	}
	if stood < 0 && p != evidence.Default {
		out = append(out, flag+p.Flag())
	}
	return o.WithRunParameters(slices.Clip(out)), nil
}

// grace is how long cloudflared, told to end, waits for what is open, such as WebSockets:
// cmd/cloudflared/tunnel/cmd.go, 30 s by default and 3 min at most. ShortGrace is what shortens
// a restart.
const (
	grace      = "--grace-period="
	ShortGrace = "1s"
)

// GraceOf reads the period from the add-on's options, "" where none is stored, or where the list
// cannot be read. Of several flags the last counts.
func GraceOf(o supervisor.Options) string {
	list, _ := o.RunParameters()
	period, _ := last(list, grace)
	return period
}

// ErrGrace is what a person has set, and is left alone.
var ErrGrace = errors.New("another --grace-period is set")

// WithShortGrace gives options that differ in ShortGrace alone: other flags stay, in order. A
// period that is another one is a person's own: ErrGrace.
func WithShortGrace(o supervisor.Options, short bool) (supervisor.Options, error) {
	list, err := o.RunParameters()
	if err != nil {
		return nil, err
	}
	now := GraceOf(o)
	switch {
	case now != "" && now != ShortGrace:
		return nil, ErrGrace
	case short && now == "":
		list = append(slices.Clip(list), grace+ShortGrace)
	case !short:
		list = slices.DeleteFunc(slices.Clone(list), func(s string) bool { return strings.HasPrefix(s, grace) })
	}
	return o.WithRunParameters(list), nil
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
