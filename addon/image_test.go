package addon_test

import (
	"cmp"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	services = "rootfs/etc/s6-overlay/s6-rc.d"
	service  = services + "/tunnelmedic"
)

// fromBase are the paths and programs that the base image, s6-overlay or
// Supervisor brings, and that this project's files name.
var fromBase = []string{
	"/init", "/bin/sh", "/usr/bin/env", "/command/execlineb", "/usr/share/zoneinfo/Europe/Berlin", // base image
	"/run/s6/basedir/bin/halt", "/run/s6-linux-init-container-results/exitcode", // s6-overlay, at run time
	"/data/", "/ssl/", // mounted by Supervisor
	"with-contenv", "export", "s6-softlimit", "fdmove", // on the service's PATH
}

// freedoms lists what the daemon's own AppArmor profile allows beyond what it
// needs: programs to start, and files to write outside /data.
func freedoms(t *testing.T, apparmor string) (found []string) {
	t.Helper()
	_, inner, ok := strings.Cut(apparmor, "\n  profile medic ")
	if !ok {
		t.Fatal("apparmor.txt has no profile medic inside")
	}
	inner, _, _ = strings.Cut(inner, "\n  }")
	rules := 0
	for line := range strings.Lines(inner) {
		rule := strings.TrimSuffix(strings.TrimSpace(line), ",")
		words := strings.Fields(rule)
		if len(words) == 0 || strings.HasPrefix(rule, "#") || strings.HasPrefix(rule, "flags=") {
			continue
		}
		rules++
		switch first := words[0]; {
		case first == "signal" || (first == "network" && len(words) == 3 && words[2] != "raw"):
		case !strings.HasPrefix(first, "/") && !strings.HasPrefix(first, "@{"):
			found = append(found, rule) // file, capability, mount, a network of any kind…
		default:
			rights := words[len(words)-1]
			if strings.ContainsAny(rights, "xX") || strings.Contains(rule, "->") || (strings.ContainsAny(rights, "wal") && !strings.HasPrefix(first, "/data/")) {
				found = append(found, rule)
			}
		}
	}
	if rules < 10 {
		t.Fatalf("only %d rules were read", rules)
	}
	return found
}

func TestTheDaemonStartsNothingAndWritesOnlyItsData(t *testing.T) {
	f := storeFiles(t)
	for _, rule := range freedoms(t, f["apparmor.txt"]) {
		t.Errorf("apparmor.txt lets the daemon do more than it needs: %s", rule)
	}
	for _, rule := range []string{"/bin/sh ix", "/bin/** rix", "/tmp/** rw", "/etc/hosts w", "file", "capability net_admin", "network", "network inet raw", "/usr/bin/curl cx -> curl"} {
		altered := f.with(t, "apparmor.txt", `(?m)^    /usr/bin/tunnelmedic mr,\n`, "    /usr/bin/tunnelmedic mr,\n    "+rule+",\n")
		if got := freedoms(t, altered["apparmor.txt"]); !slices.Equal(got, []string{rule}) {
			t.Errorf("%q added: got %q", rule, got)
		}
	}
}

// ignored says whether .dockerignore keeps a path out of the build. The last
// pattern that matches the path or a folder above it decides.
func ignored(patterns, p string) bool {
	out := false
	for line := range strings.Lines(patterns) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		pattern, back := strings.CutPrefix(line, "!")
		for at := p; at != "."; at = path.Dir(at) {
			name := at
			if rest, deep := strings.CutPrefix(pattern, "**/"); deep {
				name = path.Base(at)
				if ok, _ := path.Match(rest, name); ok {
					out = !back
				}
			} else if ok, _ := path.Match(pattern, name); ok {
				out = !back
			}
		}
	}
	return out
}

// imageTree gives the file tree that the Dockerfile's last stage lays over its
// base: path in the image to mode.
func imageTree(t *testing.T, f files) map[string]fs.FileMode {
	t.Helper()
	tree := map[string]fs.FileMode{}
	list := dockerfile(f["Dockerfile"])
	final := list[len(list)-1].stage
	for _, i := range list {
		if i.name != "COPY" {
			continue
		}
		words := strings.Fields(i.text)
		if strings.HasPrefix(words[0], "--from=") {
			if i.stage == final {
				tree[words[2]] = 0o755 // go build makes it executable
			}
			continue
		}
		to := words[len(words)-1]
		for _, from := range words[:len(words)-1] {
			err := filepath.WalkDir(filepath.Join(root, from), func(p string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				rel, _ := filepath.Rel(filepath.Join(root, from), p)
				if source := path.Join(from, filepath.ToSlash(rel)); ignored(f[".dockerignore"], source) {
					if i.stage == final {
						return fmt.Errorf("%s is copied by the Dockerfile and kept out by .dockerignore", source)
					}
					return nil
				}
				if i.stage == final {
					info, err := d.Info()
					if err != nil {
						return err
					}
					tree[path.Join(to, filepath.ToSlash(rel))] = info.Mode()
				}
				return nil
			})
			if err != nil && !os.IsNotExist(err) {
				t.Error(err)
			}
		}
	}
	return tree
}

var namedPath = regexp.MustCompile(`(?:^|[\s">])(/[A-Za-z0-9._/-]+)`)

// unknownPaths lists what the service's scripts, the AppArmor profile and the
// Dockerfile's last stage name, and what neither the image nor its base has.
func unknownPaths(t *testing.T, f files) (found []string) {
	t.Helper()
	tree := imageTree(t, f)
	check := func(where, p string) {
		if _, ok := tree[p]; !ok && !slices.Contains(fromBase, p) {
			found = append(found, fmt.Sprintf("%s names %s, which is not in the image", where, p))
		}
	}
	for _, name := range sorted(f) {
		if !strings.HasPrefix(name, "rootfs/") {
			continue
		}
		for line := range strings.Lines(f[name]) {
			if shebang, ok := strings.CutPrefix(line, "#!"); ok {
				check(name, strings.Fields(shebang)[0])
				continue
			}
			if strings.HasPrefix(strings.TrimSpace(line), "#") {
				continue
			}
			for _, m := range namedPath.FindAllStringSubmatch(line, -1) {
				check(name, m[1])
			}
		}
	}
	// In execline every line of this script begins with a program.
	for line := range strings.Lines(f[service+"/run"]) {
		if words := strings.Fields(line); len(words) > 0 && !strings.HasPrefix(line, "#") {
			check(service+"/run", words[0])
		}
	}
	// Rules without a wildcard; what the kernel shows below @{PROC} and @{sys} is no file of the image.
	for line := range strings.Lines(f["apparmor.txt"]) {
		words := strings.Fields(line)
		if len(words) >= 2 && words[0] == "deny" {
			words = words[1:]
		}
		if len(words) >= 2 && strings.HasPrefix(words[0], "/") && !strings.ContainsAny(words[0], "*{[") {
			check("apparmor.txt", words[0])
		}
	}
	for _, m := range regexp.MustCompile(`"(/[^"]+)"`).FindAllStringSubmatch(last(dockerfile(f["Dockerfile"]), "HEALTHCHECK"), -1) {
		check("the Dockerfile's health check", m[1])
	}
	list := dockerfile(f["Dockerfile"])
	for _, i := range list {
		if i.stage != list[len(list)-1].stage || i.name != "RUN" {
			continue
		}
		for _, m := range namedPath.FindAllStringSubmatch(i.text, -1) {
			check("the Dockerfile", m[1])
		}
	}
	return found
}

func TestEveryPathThatIsNamedIsInTheImage(t *testing.T) {
	f := storeFiles(t)
	for _, p := range unknownPaths(t, f) {
		t.Error(p)
	}
	for name, altered := range map[string]files{
		service + "/run names /usr/bin/other, which is not in the image":            f.with(t, service+"/run", `/usr/bin/tunnelmedic`, "/usr/bin/other"),
		service + "/finish names /usr/sbin/halt, which is not in the image":         f.with(t, service+"/finish", `/run/s6/basedir/bin/halt`, "/usr/sbin/halt"),
		"apparmor.txt names /usr/bin/other, which is not in the image":              f.with(t, "apparmor.txt", `/usr/bin/tunnelmedic mr`, "/usr/bin/other mr"),
		service + "/run names /usr/bin/tunnelmedic, which is not in the image":      f.with(t, "Dockerfile", `tunnelmedic /usr/bin/tunnelmedic`, "tunnelmedic /opt/tunnelmedic"),
		service + "/run names s6-nothing, which is not in the image":                f.with(t, service+"/run", `s6-softlimit`, "s6-nothing"),
		"the Dockerfile's health check names /bin/check, which is not in the image": f.with(t, "Dockerfile", `"/usr/bin/env"`, `"/bin/check"`),
		"the Dockerfile names /usr/share/zoneinfo/Mars, which is not in the image":  f.with(t, "Dockerfile", `Europe/Berlin`, "Mars"),
		service + "/finish names /bin/bash, which is not in the image":              f.with(t, service+"/finish", `#!/bin/sh`, "#!/bin/bash"),
	} {
		if got := unknownPaths(t, altered); !slices.Contains(got, name) {
			t.Errorf("got %q, want %q", got, name)
		}
	}
}

func TestScriptsAreExecutableInTheImage(t *testing.T) {
	tree := imageTree(t, storeFiles(t))
	for _, p := range []string{"run", "finish"} {
		p = "/etc/s6-overlay/s6-rc.d/tunnelmedic/" + p
		if mode, ok := tree[p]; !ok || mode&0o111 != 0o111 {
			t.Errorf("%s has the mode %v", p, mode)
		}
	}
}

func TestTheBuildSeesTheSourceAndNothingElse(t *testing.T) {
	patterns := storeFiles(t)[".dockerignore"]
	for p, want := range map[string]bool{
		"go.mod": false, "go.sum": false, "cmd/tunnelmedic/main.go": false, "internal/web/assets/style.css": false, "addon/options.go": false, service + "/run": false,
		"README.md": true, ".git/HEAD": true, "addon/options_test.go": true, "internal/probe/testdata/a.pem": true, "addon/brand/icon.svg": true, "secrets.yaml": true,
	} {
		if ignored(patterns, p) != want {
			t.Errorf(".dockerignore: %s is kept out: %v, want %v", p, !want, want)
		}
	}
}

// serviceFaults checks the services by the rules that s6-rc-compile has for its
// sources: a type, a program to run, dependencies that exist, files it knows; and
// that what is there is started.
func serviceFaults(t *testing.T, sources fs.FS) (found []string) {
	t.Helper()
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	known := map[string]bool{"base": true, "user": true, "user2": true} // s6-overlay's own bundles
	started := map[string]bool{}
	entries, err := fs.ReadDir(sources, ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		known[e.Name()] = true
	}
	for _, e := range entries {
		name := e.Name()
		if name == "user" { // the bundle that s6-overlay starts; it brings the type itself
			members, err := fs.ReadDir(sources, "user/contents.d")
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range members {
				started[m.Name()] = true
				if !known[m.Name()] {
					say("the bundle user contains %s, which is no service", m.Name())
				}
			}
			continue
		}
		raw, _ := fs.ReadFile(sources, path.Join(name, "type"))
		kind := strings.TrimSpace(string(raw))
		needs := map[string]string{"longrun": "run", "oneshot": "up", "bundle": "contents.d"}[kind]
		if needs == "" {
			say("%s has the type %q, which is none", name, kind)
			continue
		}
		if _, err := fs.Stat(sources, path.Join(name, needs)); err != nil {
			say("%s is a %s and has no %s", name, kind, needs)
		}
		if _, err := fs.Stat(sources, path.Join(name, "dependencies.d/base")); err != nil {
			say("%s does not wait for s6-overlay's base", name)
		}
		members, _ := fs.ReadDir(sources, path.Join(name, "dependencies.d"))
		for _, m := range members {
			if !known[m.Name()] {
				say("%s depends on %s, which is no service", name, m.Name())
			}
		}
		files, _ := fs.ReadDir(sources, name)
		for _, file := range files {
			if !slices.Contains([]string{"type", "run", "finish", "up", "down", "dependencies.d", "contents.d", "timeout-kill", "timeout-finish", "timeout-up", "timeout-down", "notification-fd", "down-signal", "max-death-tally"}, file.Name()) {
				say("%s has a file %s, which s6-rc does not read", name, file.Name())
			}
		}
	}
	for _, e := range entries {
		if name := e.Name(); name != "user" && !started[name] {
			say("%s is in no bundle, so nobody starts it", name)
		}
	}
	return found
}

func TestServicesCompile(t *testing.T) {
	for _, s := range serviceFaults(t, os.DirFS(filepath.Join(root, services))) {
		t.Error(s)
	}
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	good := func() fstest.MapFS {
		return fstest.MapFS{"a/type": file("longrun\n"), "a/run": file("x"), "a/dependencies.d/base": file(""), "user/contents.d/a": file("")}
	}
	for want, alter := range map[string]func(fstest.MapFS){
		`a has the type "long", which is none`: func(m fstest.MapFS) { m["a/type"] = file("long") },
		"a is a longrun and has no run":        func(m fstest.MapFS) { delete(m, "a/run") },
		"a does not wait for s6-overlay's base": func(m fstest.MapFS) {
			m["a/dependencies.d/user2"] = m["a/dependencies.d/base"]
			delete(m, "a/dependencies.d/base")
		},
		"a depends on b, which is no service":             func(m fstest.MapFS) { m["a/dependencies.d/b"] = file("") },
		"a has a file Run, which s6-rc does not read":     func(m fstest.MapFS) { m["a/Run"] = file("") },
		"a is in no bundle, so nobody starts it":          func(m fstest.MapFS) { m["user/contents.d/user2"] = file(""); delete(m, "user/contents.d/a") },
		"the bundle user contains c, which is no service": func(m fstest.MapFS) { m["user/contents.d/c"] = file("") },
	} {
		m := good()
		alter(m)
		if got := serviceFaults(t, m); !slices.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := serviceFaults(t, good()); len(got) != 0 {
		t.Errorf("a good one: got %q", got)
	}
}

// goBuild gives the Dockerfile's go build for one architecture: its environment
// and its words, with the build arguments filled in.
func goBuild(t *testing.T, f files, goarch, buildVersion string) (env, words []string) {
	t.Helper()
	fill := strings.NewReplacer("${BUILD_VERSION}", buildVersion, "$BUILD_VERSION", buildVersion, "${TARGETARCH}", goarch, "$TARGETARCH", goarch).Replace
	for _, i := range dockerfile(f["Dockerfile"]) {
		switch {
		case i.stage != 0:
		case i.name == "ENV":
			for _, kv := range strings.Fields(i.text) {
				env = append(env, fill(kv))
			}
		case i.name == "RUN" && strings.Contains(i.text, "go build"):
			_, command, _ := strings.Cut(i.text, "go build")
			words = []string{"go", "build"}
			for _, m := range regexp.MustCompile(`"([^"]*)"|(\S+)`).FindAllStringSubmatch(command, -1) {
				words = append(words, fill(cmp.Or(m[1], m[2])))
			}
		}
	}
	if words == nil {
		t.Fatal("the Dockerfile has no go build")
	}
	return env, words
}

func TestTheBuildIsStaticTrimmedAndVersioned(t *testing.T) {
	f := storeFiles(t)
	env, words := goBuild(t, f, "arm64", "1.2.3")
	for _, want := range []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64"} {
		if !slices.Contains(env, want) {
			t.Errorf("the environment %q has no %s", env, want)
		}
	}
	for _, want := range []string{"-trimpath", "image,nethttpomithttp2", "-s -w -X main.version=1.2.3", "./cmd/tunnelmedic", "/out/tunnelmedic"} {
		if !slices.Contains(words, want) {
			t.Errorf("the build %q has no %q", words, want)
		}
	}
}

// mostBytes bounds the stripped binary, which small computers download and keep in
// memory.
const mostBytes = 12_000_000

// replay runs the Dockerfile's build for an architecture, to this file.
func replay(t *testing.T, f files, goarch, version, binary string) {
	t.Helper()
	env, words := goBuild(t, f, goarch, version)
	words[slices.Index(words, "/out/tunnelmedic")] = binary
	build := exec.Command(words[0], words[1:]...)
	build.Dir, build.Env = root, append(os.Environ(), env...)
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", goarch, err, said)
	}
}

// TestReplayBuild runs the Dockerfile's build for arm64; .ci/image builds the image
// itself, for the machine's own processor. It takes a minute, so it runs only where
// PACKAGING_OUT says where the binary is to go, as .ci/packaging does.
func TestReplayBuild(t *testing.T) {
	out := os.Getenv("PACKAGING_OUT")
	if out == "" {
		t.Skip("PACKAGING_OUT is not set; .ci/packaging runs this")
	}
	f := storeFiles(t)
	binary, err := filepath.Abs(filepath.Join(out, "aarch64", "tunnelmedic"))
	if err != nil {
		t.Fatal(err)
	}
	replay(t, f, "arm64", f.config(t).Version, binary)
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	e, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	t.Logf("%d bytes, %v, %v", info.Size(), e.Machine, e.Type)
	if e.Machine != elf.EM_AARCH64 {
		t.Errorf("it is for %v", e.Machine)
	}
	for _, p := range e.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("it is linked dynamically (%v)", p.Type)
		}
	}
	if info.Size() >= mostBytes {
		t.Errorf("%d bytes, of which %d are too many; `go build -ldflags=-dumpdep` says whether the linker keeps every method for the sake of reflection (ReflectMethod)", info.Size(), info.Size()-mostBytes+1)
	}
}
