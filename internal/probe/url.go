package probe

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// hostName is a DNS name as it stands in a certificate and on the wire; an
// underscore is no host name, but home networks have them.
var hostName = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$`)

const longestLabel, longestName = 63, 253 // RFC 1035 §2.3.4

// CheckURL reads the address under which Home Assistant is reached from outside:
// https://host or https://host:port, and http only for this machine itself. It
// gives it in one form: lower case, no path. The error is one line that says what
// to write instead; it never repeats credentials, path or query.
func CheckURL(text string) (*url.URL, error) {
	text = strings.TrimSpace(text)
	u, err := parseURL(text)
	if err != nil {
		return nil, err
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if err := checkHost(host); err != nil {
		return nil, err
	}
	base := &url.URL{Scheme: "https", Host: host}
	if u.Scheme == "http" && Loopback(host) {
		base.Scheme = "http"
	}
	if strings.Contains(host, ":") {
		base.Host = "[" + host + "]"
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return nil, fmt.Errorf("the port of the address is not in 1–65535: write %s or give a port in that range", base)
		}
		base.Host += ":" + p
	}

	if what := beyond(u, base, text); what != "" {
		return nil, fmt.Errorf("the address %s: write %s", what, base)
	}
	return base, nil
}

// parseURL takes a text for an address, without judging it.
func parseURL(text string) (*url.URL, error) {
	if text == "" {
		return nil, errors.New("the address is empty: write https:// and the host name, like https://ha.example.com")
	}
	if !strings.Contains(text, "://") {
		return nil, errors.New("the address does not begin with https://: write it in full, like https://ha.example.com")
	}
	u, err := url.Parse(text)
	if err != nil {
		// url.Parse repeats its input, with whatever secret is in it.
		return nil, errors.New("the address cannot be read: write https:// and the host name, like https://ha.example.com")
	}
	return u, nil
}

// beyond says what an address holds beside scheme, host and port; "" if nothing.
func beyond(u, base *url.URL, text string) string {
	switch {
	case u.User != nil:
		return "holds a user name or password"
	case u.Scheme == "http" && base.Scheme != "http":
		return "begins with http://, which is only for this machine itself"
	case u.Scheme != base.Scheme:
		return "does not begin with https://"
	case u.Path != "" && u.Path != "/":
		return "has a path"
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(text, "#"):
		return "has a ? or # part"
	}
	return ""
}

func checkHost(host string) error {
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	switch {
	case host == "":
		return errors.New("the address has no host name: write one, like https://ha.example.com")
	case strings.ContainsFunc(host, func(r rune) bool { return r > 127 }):
		return errors.New("the host name has letters outside a–z: write it in its xn-- form, as your domain registrar shows it")
	case len(host) > longestName || !hostName.MatchString(host) || slices.ContainsFunc(strings.Split(host, "."), func(l string) bool { return len(l) > longestLabel }):
		return errors.New("the host name of the address is not a valid one: write https:// and the host name, like https://ha.example.com")
	}
	return nil
}
