package probe

import (
	"context"
	"errors"
	"net/http"
	"sync"
)

// tracePath is answered by Cloudflare's edge itself, for every zone, before Access,
// firewall rules and the tunnel come in (developers.cloudflare.com/fundamentals/
// reference/cdn-cgi-endpoint). Home Assistant has nothing there.
const tracePath = "/cdn-cgi/trace"

// maxVouched bounds how many addresses are remembered: a name at Cloudflare has a few.
const maxVouched = 64

// Vouched remembers at which addresses a name is Cloudflare's: those whose answer bore
// a cf-ray. A service token is sent to no other. At home the public name may lead to
// Home Assistant itself, or to a proxy in front of it (split DNS), and neither needs
// to know how this home gets past Access. It may be used by several goroutines; the
// zero value knows no address.
type Vouched struct {
	mu    sync.Mutex
	addrs map[string]bool // name@address
}

func (k *Vouched) knows(name, addr string) bool {
	if k == nil {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.addrs[name+"@"+addr]
}

// note takes what an answer has shown.
func (k *Vouched) note(name, addr string, cloudflare bool) {
	if k == nil || addr == "" {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !cloudflare {
		delete(k.addrs, name+"@"+addr)
		return
	}
	if k.addrs == nil || len(k.addrs) >= maxVouched {
		k.addrs = map[string]bool{}
	}
	k.addrs[name+"@"+addr] = true
}

// vouch takes the service token out of the look unless the other side is Cloudflare:
// where that is not known of its address, it is asked first, over a connection of its
// own and without a credential in the request. No answer is the look's own trouble.
func (v *visit) vouch(ctx context.Context) error {
	t := &v.target
	if t.direct || t.Access.empty() || t.Vouched.knows(t.name(), v.look.Addr) {
		return nil
	}
	asked := *t
	asked.Access, asked.Token, asked.protocols, asked.at = Access{}, nil, nil, v.look.Addr
	w := &visit{target: asked, keepers: v.keepers}
	err := w.attempt(ctx, func(ctx context.Context, w *visit) error { return w.get(ctx, http.MethodGet, tracePath) })
	cloudflare := w.look.CFRay() != ""
	if err != nil && w.look.Status == 0 && !errors.Is(err, errGarbled) { // what does not even speak HTTP/1 is not Cloudflare
		return err
	}
	t.Vouched.note(t.name(), v.look.Addr, cloudflare)
	if !cloudflare {
		t.Access = Access{}
		v.look.Showed.ServiceToken = false
	}
	return nil
}
