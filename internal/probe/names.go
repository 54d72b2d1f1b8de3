package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"tunnelmedic/internal/evidence"
)

// Lookup asks for the addresses of the target's name: its Outside resolver if it
// has one, else the house's. An address instead of a name is its own answer.
func Lookup(ctx context.Context, t Target) (l evidence.Lookup) {
	l = evidence.Lookup{At: time.Now(), Asked: "the house's resolver"}
	if t.Outside != nil {
		l.Asked = t.Outside.endpoint
	}
	defer func() {
		l.Took = time.Since(l.At)
		if p := recover(); p != nil {
			l.Trouble, l.Detail = evidence.Unusable, fmt.Sprintf("panic: %v", p)
		}
	}()
	if err := t.check(); err != nil {
		l.Trouble, l.Detail = evidence.Unusable, err.Error()
		return l
	}
	l.Asked = t.URL.Hostname() + " at " + l.Asked
	v := &visit{target: t}
	limited, cancel := context.WithTimeout(ctx, t.Limit())
	defer cancel()
	addrs, err := v.resolve(limited)
	slices.SortStableFunc(addrs, func(a, b netip.Addr) int { return cmp.Compare(a.Unmap().BitLen(), b.Unmap().BitLen()) })
	for _, a := range addrs {
		l.Addrs = append(l.Addrs, a.Unmap().String())
	}
	if err == nil {
		return l
	}
	dns, isDNS := errors.AsType[*net.DNSError](err)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		l.Trouble = evidence.Interrupted
	case isDNS && dns.IsNotFound:
		l.Trouble = evidence.NameNotFound
	case limited.Err() != nil || isDNS && dns.IsTimeout:
		l.Trouble = evidence.TimedOut
	default:
		l.Trouble = evidence.ResolverFailed
	}
	l.Detail = v.line(err.Error())
	return l
}
