package addon_test

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// root is the repository, seen from this package.
const root = ".."

// files are the store's files by path, as text, so that a test can alter a copy.
type files map[string]string

// storeFiles reads every file that Supervisor or Docker reads.
func storeFiles(t *testing.T) files {
	t.Helper()
	f := files{}
	read := func(path string) {
		raw, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		f[filepath.ToSlash(path)] = string(raw)
	}
	for _, path := range []string{"config.yaml", "build.yaml", "repository.yaml", "Dockerfile", ".dockerignore", "apparmor.txt", "DOCS.md", "CHANGELOG.md", "go.mod"} {
		read(path)
	}
	for _, dir := range []string{"translations", "rootfs"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				rel, _ := filepath.Rel(root, path)
				read(rel)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// without gives a copy in which what the pattern matches in one file is gone. A
// pattern that matches nothing would make the test prove nothing, so it fails.
func (f files) without(t *testing.T, path, pattern string) files {
	t.Helper()
	return f.with(t, path, pattern, "")
}

// with gives a copy in which the pattern's first match in one file is replaced.
func (f files) with(t *testing.T, path, pattern, by string) files {
	t.Helper()
	at := regexp.MustCompile(pattern).FindStringIndex(f[path])
	if at == nil {
		t.Fatalf("%s has nothing that matches %q", path, pattern)
	}
	c := maps.Clone(f)
	c[path] = f[path][:at[0]] + by + f[path][at[1]:]
	return c
}

// languages lists the translations by language.
func (f files) languages() map[string]string {
	l := map[string]string{}
	for path, text := range f {
		if name, ok := strings.CutPrefix(path, "translations/"); ok {
			l[strings.TrimSuffix(name, ".yaml")] = text
		}
	}
	return l
}

// config is config.yaml as far as the tests ask.
type config struct {
	Name        string         `yaml:"name"`
	Version     string         `yaml:"version"`
	Slug        string         `yaml:"slug"`
	Description string         `yaml:"description"`
	Arch        []string       `yaml:"arch"`
	Timeout     int            `yaml:"timeout"`
	Image       string         `yaml:"image"`
	Ingress     bool           `yaml:"ingress"`
	Role        string         `yaml:"hassio_role"`
	HostNetwork bool           `yaml:"host_network"`
	HostPID     bool           `yaml:"host_pid"`
	HostUTS     bool           `yaml:"host_uts"`
	AuthAPI     bool           `yaml:"auth_api"`
	DockerAPI   bool           `yaml:"docker_api"`
	FullAccess  bool           `yaml:"full_access"`
	Kernel      bool           `yaml:"kernel_modules"`
	AppArmor    *bool          `yaml:"apparmor"`
	Privileged  []string       `yaml:"privileged"`
	Services    []string       `yaml:"services"`
	Ports       map[string]any `yaml:"ports"`
	Map         []string       `yaml:"map"`
	Options     map[string]any `yaml:"options"`
	Schema      map[string]any `yaml:"schema"`
}

func (f files) config(t *testing.T) config {
	t.Helper()
	var c config
	f.decode(t, "config.yaml", &c)
	return c
}

func (f files) decode(t *testing.T, path string, to any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(f[path]), to); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// instruction is one of a Dockerfile: its name, its text with continued lines
// joined, and the stage it stands in, counted from 0 (-1: before the first FROM).
type instruction struct {
	name, text string
	stage      int
}

// dockerfile reads as much of the format as this project uses.
func dockerfile(text string) []instruction {
	var (
		list  []instruction
		line  string
		stage = -1
	)
	for l := range strings.Lines(text) {
		l = strings.TrimSpace(l)
		if l == "" || strings.HasPrefix(l, "#") {
			continue
		}
		if part, more := strings.CutSuffix(l, `\`); more {
			line += part + " "
			continue
		}
		name, rest, _ := strings.Cut(strings.TrimSpace(line+l), " ")
		line = ""
		if name == "FROM" {
			stage++
		}
		list = append(list, instruction{name, strings.TrimSpace(rest), stage})
	}
	return list
}

// arg gives the default of a build argument, as it stands before the first FROM.
func arg(list []instruction, name string) string {
	for _, i := range list {
		if value, ok := strings.CutPrefix(i.text, name+"="); ok && i.name == "ARG" {
			return value
		}
	}
	return ""
}

// last gives the text of the last instruction of that name.
func last(list []instruction, name string) string {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].name == name {
			return list[i].text
		}
	}
	return ""
}
