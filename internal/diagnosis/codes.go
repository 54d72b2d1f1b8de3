package diagnosis

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"tunnelmedic/internal/evidence"
)

// Cloudflare's edge names a number with its own errors: "error code: 1033" where it
// answers in plain text, "Error 1033" or a cf-error-code on its pages (DOC, Error 1xxx).
// What else a page may say beside the word (a year, a telephone number) is none of them.
var namedCode = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?is)\berror(?:[ _-]?code)?\b[^0-9]{0,60}?\b(1[0-2][0-9]{2})\b`)
})

const noTunnel = 1033 // "Cloudflare Tunnel error": no connector is connected

var (
	// unknownCodes: the name has no record of use (DNS points to prohibited IP and the like
	// are of recordCodes).
	unknownCodes = []int{1001, 1002, 1016}
	// recordCodes: the record leads to an address of Cloudflare's own, or into another account.
	recordCodes = []int{1000, 1014}
	// firewallCodes: a rule, or the address's or the browser's reputation.
	firewallCodes = []int{1005, 1006, 1009, 1010, 1020}
	rateCodes     = []int{1015}
	// recordStatuses are made by the edge where it dials an origin by its address, which it
	// never does for a tunnel.
	recordStatuses = []int{521, 522, 523, 525, 526}
)

// errorCode is the number that a refusal of Cloudflare's edge names, 0 if it names none.
func errorCode(l evidence.Look) int {
	if !refusal(l) {
		return 0
	}
	m := namedCode().FindStringSubmatch(l.Body)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

func named(l evidence.Look, codes []int) bool { return slices.Contains(codes, errorCode(l)) }

// noConnector is Cloudflare's word that the tunnel has no connection: error 1033, or
// status 530 where no number is named, since a custom error page may hide the text. One
// that names another number is about something else.
func noConnector(l evidence.Look) bool {
	n := errorCode(l)
	return n == noTunnel || n == 0 && refusal(l) && l.Status == 530
}

// named1033 is noConnector beyond doubt: status 530 is also used for other errors.
func named1033(l evidence.Look) bool { return errorCode(l) == noTunnel }

// edgesOwn530 is an error of Cloudflare's own that has nothing to do with the tunnel:
// status 530 with a number that no row knows.
func edgesOwn530(l evidence.Look) bool {
	return refusal(l) && l.Status == 530 && !noConnector(l) && !named(l, unknownCodes) && !named(l, recordCodes)
}

// edgesPage says whether a server error is in the words of Cloudflare's edge: "error code:
// 502", or its page, of which the first kilobyte holds the title and its style sheet. An
// error that is passed on from behind the tunnel has the same status and none of these.
func edgesPage(l evidence.Look) bool {
	body, status := strings.ToLower(trimmed(l)), strconv.Itoa(l.Status)
	title := strings.Contains(body, "| "+status+": ") || strings.Contains(body, "error code "+status)
	return body == "error code: "+status || title && says(l, pageMarks)
}

// blockPage is Cloudflare's page for a blocked visitor, which names no number.
func blockPage(l evidence.Look) bool {
	return refusal(l) && l.Status < 500 && says(l, blockWords)
}

// says says whether one of these stands in what was answered.
func says(l evidence.Look, words []string) bool {
	body := strings.ToLower(l.Body)
	return slices.ContainsFunc(words, func(s string) bool { return strings.Contains(body, s) })
}

var (
	// pageMarks are of the style of the error pages of Cloudflare's edge.
	pageMarks = []string{"/cdn-cgi/styles/", "cf_styles", "cf-error-details", "cf-wrapper"}
	// blockWords are on its page for a blocked visitor.
	blockWords = []string{"attention required! | cloudflare", "sorry, you have been blocked"}
	// certificateWords are of a refusal for want of a client certificate.
	certificateWords = []string{"no required ssl certificate", "the ssl certificate error", "client certificate"}
)

// otherServers are what the error pages of other web servers and proxies say of
// themselves. Cloudflare's own pages look like nginx's but for the name.
var otherServers = []string{"<center>nginx", "nginx/", "openresty", "traefik", "caddy", "apache/", "apache server at", "haproxy", "lighttpd", "litespeed", "microsoft-iis", "varnish",
	"upstream connect error", "no available server", "</h1>\nno server is available", "</h1>\nyour browser sent an invalid request"}

// otherTexts are whole bodies of Traefik and of Go's own reverse proxy.
var otherTexts = []string{"bad gateway", "service unavailable", "gateway timeout", "404 page not found", "unauthorized", "401 unauthorized", "403 forbidden"}

// otherServer says whether a refusal is in the words of a web server that is neither
// Home Assistant nor Cloudflare.
func otherServer(l evidence.Look) bool {
	return l.Answered() && l.Status >= 400 && !homeAssistants(l) && (slices.Contains(otherTexts, strings.ToLower(trimmed(l))) || says(l, otherServers))
}
