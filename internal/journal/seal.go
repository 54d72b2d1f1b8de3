package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
)

// A sealed file is a JSON object whose first member is the checksum of all that
// follows it, and whose second is the number of the write.
const (
	sealHead  = "{\n \"sum\": \""
	sealTail  = "\","
	sealCount = "\n \"generation\": "
)

var (
	errJSON = errors.New("it is not the JSON this program writes")
	errSum  = errors.New("its checksum does not fit")
)

// sum is the first half of SHA-256, in hexadecimal digits.
func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:sha256.Size/2])
}

// seal closes a JSON object that json.MarshalIndent has written.
func seal(body []byte, generation uint64) []byte {
	rest := fmt.Appendf(nil, "%s%d,%s", sealCount, generation, body[1:])
	return fmt.Appendf(nil, "%s%s%s%s", sealHead, sum(rest), sealTail, rest)
}

// unseal gives the object as it was before it was sealed, and the number of the write.
func unseal(raw []byte) (body []byte, generation uint64, err error) {
	rest, sealed := bytes.CutPrefix(raw, []byte(sealHead))
	if !sealed {
		return nil, 0, errJSON
	}
	want, rest, ok := bytes.Cut(rest, []byte(sealTail))
	if !ok || sum(rest) != string(want) {
		return nil, 0, errSum
	}
	rest, counted := bytes.CutPrefix(rest, []byte(sealCount))
	digits, body, found := bytes.Cut(rest, []byte(","))
	generation, err = strconv.ParseUint(string(digits), 10, 64)
	if !counted || !found || err != nil {
		return nil, 0, errSum
	}
	return append([]byte("{"), body...), generation, nil
}

// strictly reads a JSON object that holds only what v has room for.
func strictly(body []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errJSON
	}
	return nil
}

// sealedValue makes a sealed file of a value that is a JSON object.
func sealedValue(v any) ([]byte, error) {
	body, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return nil, err
	}
	return seal(body, 0), nil
}

// unsealValue reads what sealedValue made. Members that are not known are passed over: it is
// for showing alone.
func unsealValue(raw []byte, v any) error {
	body, _, err := unseal(raw)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, v)
}

// KeepFile writes a room's own file into the data folder, sealed and whole. v is for
// showing alone: nothing is done because of it.
func KeepFile(dir, name string, v any) error {
	raw, err := sealedValue(v)
	if err != nil {
		return err
	}
	return folder{RealDisk(), dir}.put(name, raw)
}

// RecallFile reads what KeepFile wrote. What is damaged gives an error.
func RecallFile(dir, name string, v any) error {
	raw, err := RealDisk().ReadFile(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	return unsealValue(raw, v)
}
