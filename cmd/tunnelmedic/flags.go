package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"time"
)

// parse handles a subcommand that has no flags of its own.
func parse(name, help string, args []string, out io.Writer) error {
	return parseFlags(flag.NewFlagSet(name, flag.ContinueOnError), help, args, out)
}

// parseFlags handles --help and bad usage for every subcommand: help goes to out and ends the command
// well, anything else is an error.
func parseFlags(f *flag.FlagSet, help string, args []string, out io.Writer) error {
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		flags := ""
		f.VisitAll(func(*flag.Flag) { flags = " [flags]" })
		fmt.Fprintf(out, "Usage: tunnelmedic %s%s\n\n%s\n", f.Name(), flags, help)
		f.SetOutput(out)
		f.PrintDefaults()
		return exit(0)
	case err != nil:
		return misuse{fmt.Errorf("%s; see tunnelmedic %s --help", explained(f, err), f.Name())}
	case f.NArg() > 0:
		return misuse{fmt.Errorf("%q is not understood; see tunnelmedic %s --help", f.Arg(0), f.Name())}
	}
	return nil
}

// notParsed is what package flag says of a value that is none.
var notParsed = regexp.MustCompile(`^(invalid value ".*" for flag -)([\w-]+)(: parse error|: value out of range)$`)

// explained says what a flag's value must be, where the error says only that it is
// not.
func explained(f *flag.FlagSet, err error) string {
	m := notParsed.FindStringSubmatch(err.Error())
	if m == nil {
		return err.Error()
	}
	v, _ := f.Lookup(m[2]).Value.(flag.Getter)
	switch v.Get().(type) {
	case int:
		return m[1] + m[2] + ": it takes a whole number"
	case uint64:
		return m[1] + m[2] + ": it takes a whole number, from 0 on"
	case time.Duration:
		return m[1] + m[2] + ": it takes a time with its unit, such as 30s or 2m"
	}
	return err.Error()
}

// given says whether a flag was set on the command line.
func given(f *flag.FlagSet, name string) (is bool) {
	f.Visit(func(g *flag.Flag) { is = is || g.Name == name })
	return is
}
