package addon_test

import (
	"bytes"
	"fmt"
	"image/png"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/goccy/go-yaml"
)

// strays lists files that Supervisor would take for an app, for build settings or
// for a repository, besides the three that are meant. It reads config.* in every
// folder but rootfs and hidden ones, and build.* and repository.* in every folder.
func strays(t *testing.T, repo fs.FS) (found []string) {
	t.Helper()
	err := fs.WalkDir(repo, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p == ".git" {
			return fs.SkipDir
		}
		stem, ext := strings.TrimSuffix(path.Base(p), path.Ext(p)), path.Ext(p)
		if d.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json"}, ext) {
			return nil
		}
		switch {
		case stem != "config" && stem != "build" && stem != "repository":
		case p == "config.yaml" || p == "build.yaml" || p == "repository.yaml":
		default:
			found = append(found, p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestNoFileIsTakenForAnotherApp(t *testing.T) {
	for _, p := range strays(t, os.DirFS(root)) {
		t.Errorf("Supervisor reads %s, whatever it is meant for: give it another name", p)
	}
	empty := &fstest.MapFile{}
	got := strays(t, fstest.MapFS{
		"config.yaml": empty, "build.yaml": empty, "repository.yaml": empty, "config.toml": empty, "myconfig.yaml": empty, ".git/config.yaml": empty,
		"config.json": empty, "testdata/config.yml": empty, ".github/workflows/build.yaml": empty, "a/repository.json": empty,
	})
	if want := []string{".github/workflows/build.yaml", "a/repository.json", "config.json", "testdata/config.yml"}; !slices.Equal(got, want) {
		t.Errorf("strays: got %q, want %q", got, want)
	}
}

// defaults of the keys that config.yaml may have; nil: none. A key set to its
// default is an error to the community's linter, and so is a key not in the list.
var defaults = map[string]any{
	"name": nil, "version": nil, "slug": nil, "description": nil, "arch": nil, "url": nil, "image": nil, "homeassistant": nil,
	"startup": "application", "boot": "auto", "init": true, "stage": "stable", "timeout": 10,
	"hassio_api": false, "hassio_role": "default", "homeassistant_api": false, "auth_api": false, "docker_api": false,
	"ingress": false, "ingress_port": 8099, "ingress_entry": nil, "ingress_stream": false,
	"panel_icon": "mdi:puzzle", "panel_title": nil, "panel_admin": true,
	"services": nil, "discovery": nil, "map": nil, "options": nil, "schema": nil, "ports": nil, "ports_description": nil,
	"backup": "hot", "backup_exclude": nil, "backup_pre": nil, "backup_post": nil, "breaking_versions": nil,
	"apparmor": true, "privileged": nil, "full_access": false, "kernel_modules": false, "environment": nil, "tmpfs": false, "journald": false,
	"host_network": false, "host_pid": false, "host_ipc": false, "host_uts": false, "host_dbus": false,
	"devices": nil, "udev": false, "uart": false, "usb": false, "gpio": false, "audio": false, "video": false, "devicetree": false, "realtime": false, "stdin": false,
}

var imageName = regexp.MustCompile(`^([a-zA-Z\-.:\d]+/)*?[-\w]+/[-\w]+(:[.\-\w]+)?$`)

// refusals says what Supervisor or the community's linter would refuse in the
// files at the root, or pass over with a warning.
func refusals(t *testing.T, f files) (found []string) {
	t.Helper()
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }

	var raw map[string]any
	f.decode(t, "config.yaml", &raw)
	for _, key := range []string{"name", "version", "slug", "description", "arch"} {
		if raw[key] == nil {
			say("config.yaml: %s is missing", key)
		}
	}
	for _, key := range sorted(raw) {
		def, ok := defaults[key]
		switch {
		case !ok:
			say("config.yaml: %s is no key that Supervisor wants", key)
		case def != nil && same(raw[key], def):
			say("config.yaml: %s has its default, leave it out", key)
		}
	}
	c := f.config(t)
	if !regexp.MustCompile(`^[-_.A-Za-z0-9]+$`).MatchString(c.Slug) {
		say("config.yaml: the slug %q has characters that a slug cannot have", c.Slug)
	}
	for _, arch := range c.Arch {
		if arch != "aarch64" && arch != "amd64" {
			say("config.yaml: there is no architecture %s any more", arch)
		}
	}
	if c.Timeout < 10 || c.Timeout > 300 {
		say("config.yaml: timeout is 10 to 300, not %d", c.Timeout)
	}
	for _, s := range c.Services {
		if !regexp.MustCompile(`^(mqtt|mysql):(provide|want|need)$`).MatchString(s) {
			say("config.yaml: %q is no service with a right", s)
		}
	}
	for _, m := range c.Map {
		if !regexp.MustCompile(`^(ssl|share|media|backup|homeassistant_config|app_config)(:(rw|ro))?$`).MatchString(m) {
			say("config.yaml: %q is no folder with a right", m)
		}
	}
	// Set by the release alone: a published name in lower case, its version stands in version.
	if c.Image != "" && !regexp.MustCompile(`^ghcr\.io/[a-z0-9-]+/`+regexp.QuoteMeta(c.Slug)+`$`).MatchString(c.Image) {
		say("config.yaml: image %q is not one that the release sets", c.Image)
	}
	for _, key := range sorted(c.Schema) {
		typ, many, err := elementOf(c.Schema[key])
		if err != nil {
			say("config.yaml, schema, %s: %v", key, err)
			continue
		}
		if p := fmt.Sprint(typ.pattern); typ.pattern != nil && (!strings.HasPrefix(p, "^") || !strings.HasSuffix(p, "$")) {
			say("config.yaml, schema, %s: the pattern does not hold the whole value, it needs ^ and $", key)
		}
		def, ok := c.Options[key]
		switch {
		case !ok && !typ.optional:
			say("config.yaml: option %s is required and has no default, so the app cannot start unconfigured", key)
		case !ok:
		case many:
			list, isList := def.([]any)
			if !isList {
				say("config.yaml: the default of %s is not a list", key)
			}
			for _, v := range list {
				if err := typ.accepts(v); err != nil {
					say("config.yaml: the default of %s: %v", key, err)
				}
			}
		default:
			if err := typ.accepts(def); err != nil {
				say("config.yaml: the default of %s: %v", key, err)
			}
		}
	}

	var build struct {
		From map[string]string `yaml:"build_from"`
	}
	if err := yaml.UnmarshalWithOptions([]byte(f["build.yaml"]), &build, yaml.Strict()); err != nil {
		say("build.yaml has something other than build_from: %v", err)
	}
	for _, arch := range sorted(build.From) {
		image := build.From[arch]
		if _, tag, ok := strings.Cut(image, ":"); !imageName.MatchString(image) || !ok || tag == "latest" {
			say("build.yaml: %q is not an image of a certain version", image)
		}
	}
	var repository struct {
		Name       string `yaml:"name"`
		URL        string `yaml:"url"`
		Maintainer string `yaml:"maintainer"`
	}
	if err := yaml.UnmarshalWithOptions([]byte(f["repository.yaml"]), &repository, yaml.Strict()); err != nil || repository.Name == "" {
		say("repository.yaml needs a name, and may have url and maintainer besides: %v", err)
	}
	if names := profiles(f["apparmor.txt"]); len(names) != 1 {
		say("apparmor.txt has %d profiles at the top, Supervisor wants exactly one", len(names))
	}
	return found
}

var topProfile = regexp.MustCompile(`(?m)^profile ([^ ]+).*$`)

// profiles lists the profiles that Supervisor sees in apparmor.txt: a line that
// begins with the word.
func profiles(apparmor string) (names []string) {
	for _, m := range topProfile.FindAllStringSubmatch(apparmor, -1) {
		names = append(names, m[1])
	}
	return names
}

func TestSupervisorTakesTheFiles(t *testing.T) {
	for _, r := range refusals(t, storeFiles(t)) {
		t.Error(r)
	}
}

func TestWhatSupervisorRefusesIsNamed(t *testing.T) {
	f := storeFiles(t)
	for name, c := range map[string]struct {
		f    files
		want string
	}{
		"no slug":                  {f.without(t, "config.yaml", `(?m)^slug:.*\n`), "config.yaml: slug is missing"},
		"a key at its default":     {f.with(t, "config.yaml", `(?m)^init: false`, "init: true"), "config.yaml: init has its default, leave it out"},
		"an obsolete key":          {f.with(t, "config.yaml", `(?m)^init:`, "watchdog: tcp://[HOST]:8099\ninit:"), "config.yaml: watchdog is no key that Supervisor wants"},
		"a dead architecture":      {f.with(t, "config.yaml", `- amd64`, "- armv7"), "config.yaml: there is no architecture armv7 any more"},
		"an unknown right":         {f.with(t, "config.yaml", `mqtt:want`, "mqtt:like"), `config.yaml: "mqtt:like" is no service with a right`},
		"a default out of range":   {f.with(t, "config.yaml", `failback_hours: 24`, "failback_hours: 1000"), "config.yaml: the default of failback_hours: 1000 is out of bounds"},
		"a default of no choice":   {f.with(t, "config.yaml", `(?m)^    - quic$`, "    - udp"), `config.yaml: the default of protocols: "udp" is none of [auto quic http2]`},
		"required without default": {f.without(t, "config.yaml", `(?m)^  mode: heal\n`), "config.yaml: option mode is required and has no default, so the app cannot start unconfigured"},
		"an open pattern":          {f.with(t, "config.yaml", `match\(\^\\S\*\$\)`, `match(\S*)`), "config.yaml, schema, access_client_id: the pattern does not hold the whole value, it needs ^ and $"},
		"a stranger's image":       {f.with(t, "config.yaml", `(?m)^slug:`, "image: example/Other\nslug:"), `config.yaml: image "example/Other" is not one that the release sets`},
		"a base of any version":    {f.with(t, "build.yaml", `amd64: \S+`, "amd64: ghcr.io/home-assistant/base:latest"), `build.yaml: "ghcr.io/home-assistant/base:latest" is not an image of a certain version`},
		"two profiles":             {f.with(t, "apparmor.txt", `(?m)^profile`, "profile second {\n}\nprofile"), "apparmor.txt has 2 profiles at the top, Supervisor wants exactly one"},
	} {
		if got := refusals(t, c.f); !slices.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// rating is the security rating from 1 to 8 that Supervisor shows beside the app,
// and what it comes from.
func rating(c config, ownProfile bool) (int, []string) {
	n, from := 5, []string{"5 to begin with"}
	add := func(points int, why string) {
		n += points
		from = append(from, fmt.Sprintf("%+d %s", points, why))
	}
	switch {
	case c.AppArmor != nil && !*c.AppArmor:
		add(-1, "AppArmor is off")
	case ownProfile:
		add(1, "an AppArmor profile of its own")
	}
	switch {
	case c.Ingress:
		add(2, "ingress")
	case c.AuthAPI:
		add(1, "Home Assistant's sign-in")
	}
	if len(c.Privileged) > 0 || c.Kernel {
		add(-1, "privileges of the kernel") // not every privilege counts, but none is wanted here
	}
	switch c.Role {
	case "manager":
		add(-1, "role manager")
	case "admin":
		add(-2, "role admin")
	}
	if c.HostNetwork {
		add(-1, "the host's network")
	}
	if c.HostPID {
		add(-2, "the host's processes")
	}
	if c.DockerAPI || c.FullAccess {
		return 1, append(from, "1 in all: Docker or full access")
	}
	return min(max(n, 1), 8), from
}

func TestSecurityRatingIsTheHighestForAnAppThatChangesAnother(t *testing.T) {
	c := storeFiles(t).config(t)
	_, err := os.Stat(filepath.Join(root, "apparmor.txt"))
	n, from := rating(c, err == nil)
	t.Logf("rating %d: %s", n, strings.Join(from, ", "))
	if n != 7 {
		t.Errorf("the rating is %d, not 7: %s", n, strings.Join(from, ", "))
	}
	for want, other := range map[int]func(*config){
		6: func(c *config) { c.HostNetwork = true },
		5: func(c *config) { c.Ingress = false },
		8: func(c *config) { c.Role = "" },
		1: func(c *config) { c.FullAccess = true },
	} {
		altered := c
		other(&altered)
		if n, from := rating(altered, true); n != want {
			t.Errorf("rating %d, want %d: %q", n, want, from)
		}
	}
}

func TestPicturesHaveTheStoresSizes(t *testing.T) {
	for name, size := range map[string][2]int{"icon.png": {128, 128}, "logo.png": {250, 100}} {
		raw, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		p, err := png.DecodeConfig(bytes.NewReader(raw))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if p.Width != size[0] || p.Height != size[1] {
			t.Errorf("%s is %d×%d, not %d×%d", name, p.Width, p.Height, size[0], size[1])
		}
		if len(raw) > 20_000 {
			t.Errorf("%s has %d bytes; every user's store loads it", name, len(raw))
		}
	}
}
