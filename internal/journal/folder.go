package journal

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// folder is the data folder on its disk.
type folder struct {
	Disk
	dir string
}

// incidents is where in it the incidents stand, and fresh how files are called that are not
// whole yet.
const (
	incidents = "incidents"
	fresh     = ".new-*"
)

func (f folder) path(name string) string { return filepath.Join(f.dir, name) }

// put puts a file in place whole: a power cut leaves the old one or the new one.
func (f folder) put(name string, raw []byte) error {
	path := f.path(name)
	dir := filepath.Dir(path)
	file, err := f.Create(dir)
	if errors.Is(err, os.ErrNotExist) { // the folder was removed meanwhile
		if err = f.MkdirAll(dir); err == nil {
			file, err = f.Create(dir)
		}
	}
	if err != nil {
		return err
	}
	_, err = file.Write(raw)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = f.Rename(file.Name(), path)
	}
	if err != nil {
		_ = f.Remove(file.Name()) // else the next start sweeps it
		return err
	}
	_ = f.SyncDir(dir) // some file systems cannot; the rename stands all the same
	return nil
}

// replace is put for one of the three. A folder that stands there is moved away.
func (f folder) replace(name string, raw []byte) error {
	err := f.put(name, raw)
	if oneOf(err, fs.ErrExist, syscall.EISDIR, syscall.ENOTEMPTY) && f.setAside(copyOf{name: name}, time.Now()) != "" {
		err = f.put(name, raw)
	}
	return err
}

// probe says whether the folder can be written to.
func (f folder) probe() error {
	if err := f.put(".probe", []byte("\n")); err != nil {
		return err
	}
	_ = f.Remove(f.path(".probe")) // harmless if it stays
	return nil
}

// furnish makes the folders. What stands in the incidents' place is moved away.
func (f folder) furnish(now time.Time) error {
	path := f.path(incidents)
	err := f.MkdirAll(path)
	if oneOf(err, syscall.ENOTDIR, fs.ErrExist) && f.Rename(path, path+now.UTC().Format(".broken-20060102T150405Z")) == nil {
		err = f.MkdirAll(path)
	}
	return err
}

// setAside keeps a file that cannot be used under another name, "" if it could not
// be. Of many the newest are kept.
func (f folder) setAside(c copyOf, now time.Time) string {
	base := strings.TrimSuffix(c.name, ".json") + ".broken-"
	if c.newer != nil {
		base = strings.TrimSuffix(c.name, ".json") + ".newer-"
	}
	name := base + now.UTC().Format("20060102T150405Z") + ".json"
	if f.Rename(f.path(c.name), f.path(name)) != nil {
		return ""
	}
	names, _ := f.ReadDir(f.dir)
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, base) })
	for _, old := range names[:max(0, len(names)-keptAside)] {
		_ = f.Remove(f.path(old))
	}
	return name
}

// sweep removes what a kill in mid-write left behind.
func (f folder) sweep() {
	for _, dir := range []string{f.dir, f.path(incidents)} {
		names, _ := f.ReadDir(dir)
		for _, n := range names {
			if strings.HasPrefix(n, strings.TrimSuffix(fresh, "*")) {
				_ = f.Remove(filepath.Join(dir, n)) // harmless if it stays
			}
		}
	}
}

// validID lets through what the policy makes (20261121T220512Z), so that no id can
// lead out of the folder.
func validID(id string) bool {
	return len(id) > 0 && len(id) <= 32 && strings.Trim(id, "0123456789TZ-") == ""
}

func fileOf(id string) string { return filepath.Join(incidents, id+".json") }

// ids lists the ids of the incidents, newest first: they begin with their time.
func (f folder) ids() (ids []string) {
	names, err := f.ReadDir(f.path(incidents))
	if err != nil {
		return nil
	}
	for _, n := range slices.Backward(names) {
		if id, ok := strings.CutSuffix(n, ".json"); ok && validID(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// prune deletes the oldest incidents beyond Keep.
func (f folder) prune() {
	ids := f.ids()
	for _, id := range ids[min(Keep, len(ids)):] {
		_ = f.Remove(f.path(fileOf(id))) // the next one tries again
	}
}

func (f folder) writeIncident(i Incident) error {
	raw, err := sealedValue(i)
	if err == nil {
		err = f.put(fileOf(i.ID), raw)
	}
	if err == nil {
		f.prune()
	}
	return err
}

func (f folder) readIncident(id string) (i Incident, ok bool) {
	raw, err := f.ReadFile(f.path(fileOf(id)))
	if err != nil || unsealValue(raw, &i) != nil {
		return Incident{}, false
	}
	return i, i.ID == id
}

// The history and its last generation. gzip checks its own sums.
const (
	historyName    = "history.json.gz"
	historyOldName = "history.previous.json.gz"
)

// readHistory gives the history of one of the two, and the file as it is.
func (f folder) readHistory(name string) (h History, raw []byte, err error) {
	if raw, err = f.ReadFile(f.path(name)); err != nil {
		return h, nil, err
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return h, nil, err
	}
	plain, err := io.ReadAll(io.LimitReader(z, historyLimit))
	if err == nil {
		err = json.Unmarshal(plain, &h)
	}
	if err == nil && h.Version != version {
		err = fmt.Errorf("its version is %d, this program knows %d", h.Version, version)
	}
	return h, raw, err
}

func (f folder) writeHistory(h History) error {
	plain, err := json.Marshal(h)
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err = z.Write(plain)
	if err = errors.Join(err, z.Close()); err != nil {
		return err
	}
	// One that can be read is worth keeping until the next can; without it, that one is.
	if _, raw, err := f.readHistory(historyName); err == nil {
		if err := f.put(historyOldName, raw); err != nil {
			return err
		}
	}
	return f.put(historyName, packed.Bytes())
}
