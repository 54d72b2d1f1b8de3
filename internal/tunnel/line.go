package tunnel

import (
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// level is how grave the writer of a line found it.
type level uint8

const (
	plain   level = iota // a line that names none
	info                 // and below
	warning              //
	grave                // error, fatal, panic
)

// levels are the names of zerolog's console writer, and of bashio.
var levels = map[string]level{
	"TRC": info, "DBG": info, "INF": info, "WRN": warning, "ERR": grave, "FTL": grave, "PNC": grave,
	"TRACE": info, "DEBUG": info, "INFO": info, "NOTICE": info, "WARNING": warning, "ERROR": grave, "FATAL": grave,
}

// entry is one line of the log, taken apart.
type entry struct {
	at      time.Time // zero: the line bears no date
	level   level
	app     bool   // written by the app's start script, not by cloudflared
	message string // cloudflared's fixed words: nobody else writes into them
	err     string // the field error
	conn    int    // the field connIndex; anyConn if there is none
	fields  string // everything behind the message, for the fields that are asked for by name
	text    string // the whole, without colours
}

// anyConn stands for a connection that a line does not name.
const anyConn = -1

// lineLimit bounds what is read of a line, in bytes. cloudflared's own are some 300.
const lineLimit = 8 << 10

// pattern compiles a regular expression when it is first needed: in a home that is well
// nobody reads the log.
func pattern(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

var (
	colours = pattern("\x1b\\[[0-9;?]*[A-Za-z]")
	// cloudflared's console lines, with whatever a journal has put before them.
	console = pattern(`(?:^|\s)(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})) (TRC|DBG|INF|WRN|ERR|FTL|PNC)(?: |$)`)
	// bashio's: a time of day, without a date and in the app's own time zone.
	bashio = pattern(`(?:^|\s)\[(\d{2}:\d{2}:\d{2})\] (TRACE|DEBUG|INFO|NOTICE|WARNING|ERROR|FATAL): ?`)
	// The first field of a console line ends its message.
	firstField = pattern(`(?:^|\s)[A-Za-z][\w.-]*=`)
	connIndex  = pattern(`(?:^|\s)connIndex=(\d{1,3})(?:\s|$)`)
)

// parse takes a line apart, whatever it is: it never fails.
func parse(line string) entry {
	line = strings.ToValidUTF8(line[:min(len(line), lineLimit)], "?")
	if strings.IndexByte(line, '\x1b') >= 0 {
		line = colours().ReplaceAllString(line, "")
	}
	line = strings.TrimSpace(line)
	e := entry{conn: anyConn, text: line, message: line}
	if m := console().FindStringSubmatchIndex(line); m != nil && m[0] <= prefixLimit {
		e.at, _ = time.Parse(time.RFC3339, line[m[2]:m[3]])
		e.level = levels[line[m[4]:m[5]]]
		e.message = line[m[1]:]
		e.split()
		return e
	}
	if m := bashio().FindStringSubmatchIndex(line); m != nil && m[0] <= prefixLimit {
		e.app, e.level, e.message = true, levels[line[m[4]:m[5]]], strings.TrimSpace(line[m[1]:])
		return e
	}
	// What a program prints past its logger; the fields may be there all the same.
	e.split()
	return e
}

// prefixLimit is how much a journal may put before a line, in bytes.
const prefixLimit = 160

// split parts the message of a console line from its fields.
func (e *entry) split() {
	if m := firstField().FindStringIndex(e.message); m != nil {
		e.message, e.fields = strings.TrimSpace(e.message[:m[0]]), e.message[m[0]:]
	}
	if m := connIndex().FindStringSubmatch(e.fields); m != nil {
		e.conn, _ = strconv.Atoi(m[1])
	}
	e.err = e.field("error")
}

// field gives the value of a console line's field, "" if it is not there.
func (e *entry) field(name string) string {
	_, rest, ok := strings.Cut(" "+e.fields, " "+name+"=")
	if !ok {
		return ""
	}
	if quoted, err := strconv.QuotedPrefix(rest); err == nil {
		if text, err := strconv.Unquote(quoted); err == nil {
			return text
		}
	}
	word, _, _ := strings.Cut(rest, " ")
	return strings.Trim(word, `"`)
}
