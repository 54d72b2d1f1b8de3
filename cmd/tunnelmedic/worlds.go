//go:build !image

package main

// worlds are the subcommands for people who work on the program. The app's image
// does not hold them: nobody can call them there.
func worlds() []command {
	return []command{
		{"lab", "the whole program at work in a world on this machine, as a story; --help for its scenarios", runLab},
		{"simulate", "the policy in thousands of virtual homes, against its rivals and an oracle, as a table", runSimulate},
	}
}

var leftOut []string // nothing
