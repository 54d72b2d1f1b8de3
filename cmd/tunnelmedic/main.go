// Command tunnelmedic watches a Cloudflare Tunnel in front of Home Assistant, and
// mends what can be mended.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"tunnelmedic/addon"
)

// version is set by the linker (-X main.version) when the image is built.
var version = "dev"

// Exit codes beside 0. The service that starts the daemon restarts it after a
// crash, and lets it stay down where only a person can put things right.
const (
	exitFailure = 1
	exitUsage   = 2 // also a configuration that it cannot start with
)

// exit is an exit code to end with, without a word.
type exit int

func (exit) Error() string { return "" }

// misuse is an error that only whoever called can put right.
type misuse struct{ error }

// errInterrupted says that a person has ended the command before its end.
var errInterrupted = errors.New("interrupted")

// command is a subcommand. run parses its own arguments; an error is said in one line.
type command struct {
	name, help string
	run        func(ctx context.Context, args []string, out, errOut io.Writer) error
}

func commands() []command {
	return append([]command{
		{"run", "the daemon: what the app starts (default)", runDaemon},
		{"doctor", "every look once, as a table with verdict and advice; --help for its flags", runDoctor},
		{"report", "an incident as a document for a bug report; --help for its forms", runReport},
		{"healthcheck", "exit 0 while the daemon's loop is alive", runHealth},
		{"version", "print the version", runVersion},
	}, worlds()...)
}

func main() {
	// net/http quotes there what a server sent that nobody had asked for, whatever it holds.
	log.SetOutput(io.Discard)
	if err := shedPowers(); err != nil {
		fmt.Fprintln(os.Stderr, "tunnelmedic: it keeps capabilities that it does not need:", err)
	}
	// A second signal ends it at once.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	name := "run"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	} else if len(args) > 0 && slices.Contains([]string{"-h", "-help", "--help"}, args[0]) {
		name = "help"
	} else if len(args) > 0 && slices.Contains([]string{"-version", "--version"}, args[0]) {
		name, args = "version", nil
	}
	if name == "help" {
		usage(out)
		return 0
	}
	for _, c := range commands() {
		if c.name == name {
			return ended(c.name, c.run(ctx, args, out, errOut), errOut)
		}
	}
	if slices.Contains(leftOut, name) {
		fmt.Fprintf(errOut, "tunnelmedic: %s is not in the app's image; `go run ./cmd/tunnelmedic %s` in the source is\n", name, name)
		return exitUsage
	}
	fmt.Fprintf(errOut, "tunnelmedic: there is no command %q; `tunnelmedic --help` lists them\n", name)
	return exitUsage
}

// ended says why a command ended, and gives its exit code.
func ended(name string, err error, errOut io.Writer) int {
	if err == nil {
		return 0
	}
	if code, silent := errors.AsType[exit](err); silent {
		return int(code)
	}
	who := "tunnelmedic"
	if name != "run" && name != "healthcheck" { // these are the app itself
		who += " " + name
	}
	fmt.Fprintf(errOut, "%s: %v\n", who, err)
	if _, is := errors.AsType[misuse](err); is {
		return exitUsage
	}
	return exitFailure
}

func usage(w io.Writer) {
	fmt.Fprint(w, `Tunnel Medic watches the Cloudflared app of Home Assistant. It checks whether Home Assistant's
WebSocket still opens through the public address and says why when it does not. Where another
tunnel protocol may help, it tries one, proves that it did, and undoes what did not help.

Usage: tunnelmedic [command]

`)
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-12s %s\n", c.name, c.help)
	}
	if len(worlds()) > 0 {
		fmt.Fprint(w, "\nTo see it at work without Home Assistant: tunnelmedic lab\n")
	}
	fmt.Fprint(w, "\n", addon.Help())
}

func runDaemon(ctx context.Context, args []string, out, _ io.Writer) error {
	if err := parse("run", "The daemon. It takes no arguments; see tunnelmedic --help for options and environment.", args, out); err != nil {
		return err
	}
	// Some 4 KB of garbage a second, as in a quiet home, need no 4 MB of head room.
	debug.SetGCPercent(25)
	// Each round of looks, two minutes apart, leaves a megabyte of garbage, which Go keeps and
	// nobody needs until the next. It goes back soon after.
	go func() {
		time.Sleep(20 * time.Second)
		for {
			debug.FreeOSMemory()
			time.Sleep(2 * time.Minute)
		}
	}()
	err := addon.Run(ctx, os.Environ(), fullVersion(), out)
	if _, is := errors.AsType[*addon.SetupError](err); is {
		return misuse{err}
	}
	return err
}

func runHealth(ctx context.Context, args []string, out, _ io.Writer) error {
	if err := parse("healthcheck", "Exit 0 while the daemon's loop is alive.", args, out); err != nil {
		return err
	}
	return addon.Health(ctx, os.Environ())
}

func runVersion(_ context.Context, args []string, out, _ io.Writer) error {
	if err := parse("version", "Print the version.", args, out); err != nil {
		return err
	}
	fmt.Fprintln(out, "tunnelmedic", fullVersion())
	return nil
}

// fullVersion adds the commit to a build from a checkout.
func fullVersion() string {
	if version != "dev" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 8 {
				return version + " " + s.Value[:8]
			}
		}
	}
	return version
}
