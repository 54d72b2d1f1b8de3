package addon_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tunnelmedic/addon"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/doctor"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/lab"
)

// outsideEnv is the environment of a laptop: no Supervisor, no options file.
func outsideEnv(t *testing.T, more ...string) []string {
	dir := t.TempDir()
	return append([]string{"TUNNELMEDIC_OPTIONS_FILE=" + filepath.Join(dir, "none"), "TUNNELMEDIC_DATA_DIR=" + dir}, more...)
}

func TestTheDoctorTakesAnAddressAsPeopleWriteIt(t *testing.T) {
	for text, want := range map[string]struct{ url, path, err string }{
		"https://ha.example.com":                     {url: "https://ha.example.com"},
		"ha.example.com":                             {url: "https://ha.example.com"},
		"HA.example.com:8443":                        {url: "https://ha.example.com:8443"},
		"https://ha.example.com/lovelace/0?kiosk=1":  {url: "https://ha.example.com", path: "/lovelace/0"},
		"http://127.0.0.1:8123/":                     {url: "http://127.0.0.1:8123"},
		"http://ha.example.com":                      {err: "https://ha.example.com"},
		"https://user:hunter2hunter2@ha.example.com": {err: "user name or password"},
		"user:hunter2hunter2@ha.example.com/x":       {err: "user name or password"},
		"ftp://ha.example.com":                       {err: "https://"},
		"https://":                                   {err: "no host name"},
		"https://ha.example.com:99999":               {err: "port"},
		"https://ha example.com":                     {err: "cannot be read"},
	} {
		t.Run(text, func(t *testing.T) {
			c, err := addon.Consult(outsideEnv(t), "1.2.3", addon.Consultation{URL: text})
			if want.err != "" {
				if err == nil || !strings.Contains(err.Error(), want.err) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("the error is %v, want one line with %q and without the password", err, want.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Place.Public.URL.String(); got != want.url || c.Path != want.path {
				t.Errorf("read as %s and path %q", got, c.Path)
			}
			if c.Place.Looks.Supervisor != nil {
				t.Error("it takes this machine for Home Assistant")
			}
		})
	}
}

func TestTheDoctorRefusesCertificateFilesThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	cert1, key1 := pair(t, dir, "one")
	_, key2 := pair(t, dir, "two")
	for rule, c := range map[string]addon.Consultation{
		"the certificate is missing": {Certificate: filepath.Join(dir, "none.pem"), Key: key1},
		"the key belongs to another": {Certificate: cert1, Key: key2},
		"the key is missing":         {Certificate: cert1},
		"the certificate is no PEM":  {Certificate: key1, Key: key1},
	} {
		t.Run(rule, func(t *testing.T) {
			c.URL = "https://ha.example.com"
			if _, err := addon.Consult(outsideEnv(t), "1.2.3", c); err == nil || !strings.Contains(err.Error(), "--key") || strings.Contains(err.Error(), "\n") {
				t.Errorf("the error is %v", err)
			}
		})
	}
	c, err := addon.Consult(outsideEnv(t), "1.2.3", addon.Consultation{URL: "https://ha.example.com", Certificate: cert1, Key: key1})
	if err != nil || c.Place.Public.Certificate == nil {
		t.Errorf("a good pair gives %v", err)
	}
}

func pair(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	for file, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// labDoctor examines the lab's world as `tunnelmedic doctor` does inside Home Assistant.
func labDoctor(t *testing.T, w *lab.World, dir, url string, more ...string) (doctor.Report, addon.Consulted) {
	t.Helper()
	environ := append(lab.Environ(w.Env()), "TUNNELMEDIC_DATA_DIR="+dir, "TUNNELMEDIC_OPTIONS_FILE="+filepath.Join(dir, "none"))
	c, err := addon.Consult(append(environ, more...), "1.2.3", addon.Consultation{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	r, err := doctor.Examine(t.Context(), c.Place, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r, c
}

func connected(t *testing.T, opt lab.Options) *lab.World {
	t.Helper()
	w, err := lab.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := w.Connector.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestATokenThatHomeAssistantRefusesIsNeverSentTwice(t *testing.T) {
	w := connected(t, lab.Options{})
	dir := t.TempDir()
	for range 3 {
		r, c := labDoctor(t, w, dir, "", "TUNNELMEDIC_HA_TOKEN=a-wrong-token-of-long-life")
		if r.Code != doctor.Healthy {
			t.Fatalf("code %d: %s", r.Code, r.Summary)
		}
		if len(r.Advice) == 0 {
			t.Error("nothing is said of the refused token")
		}
		if r.Refused {
			if err := c.Refuse(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := w.Core.Told().WrongTokens; n != 1 {
		t.Errorf("it was sent %d times", n)
	}
	j, _, err := journal.Open(dir, time.Now())
	if err != nil || j.Record().RefusedToken == "" {
		t.Errorf("the daemon does not learn of it: %v", err)
	}
}

func TestAnotherAddressThanTheWatchedOneIsShownNoSecret(t *testing.T) {
	w, other := connected(t, lab.Options{}), connected(t, lab.Options{})
	r, _ := labDoctor(t, w, t.TempDir(), other.Edge.URL(), "TUNNELMEDIC_HA_TOKEN="+lab.HAToken, "TUNNELMEDIC_ACCESS_CLIENT_ID="+lab.AccessID, "TUNNELMEDIC_ACCESS_CLIENT_SECRET="+lab.AccessSecret)
	if r.Code != doctor.Healthy || len(r.Notes) == 0 {
		t.Errorf("code %d, notes %q", r.Code, r.Notes)
	}
	if other.Core.Told().SignIns != 0 {
		t.Error("it signed in there")
	}
	for _, q := range other.Requests() {
		if q.Header.Get("Cf-Access-Client-Secret") != "" {
			t.Fatal("it showed the service token there")
		}
	}
}

// One moment cannot tell the zone's switch from a stripped upgrade; Cloudflare's own word can,
// and a token that may not read it is said to be so.
func TestTheDoctorHearsCloudflaresOwnWord(t *testing.T) {
	for name, c := range map[string]struct {
		missing []string
		cause   diagnosis.Cause
		note    string
	}{
		"a token that may read settings": {nil, diagnosis.WebSocketsDisabled, ""},
		"one that may not":               {[]string{"settings"}, diagnosis.UpgradeStripped, "Zone Settings"},
	} {
		w := connected(t, lab.Options{Faults: lab.Faults{WebSocketsOff: true}})
		w.Outside.Change(func(f *lab.Cloudflare) { f.Missing = c.missing })
		r, _ := labDoctor(t, w, t.TempDir(), "", "TUNNELMEDIC_CLOUDFLARE_API_TOKEN="+lab.CloudflareToken)
		if notes := strings.Join(r.Notes, "\n"); r.Cause != c.cause || !strings.Contains(notes, c.note) || c.note == "" && notes != "" {
			t.Errorf("%s: %s, notes %q", name, r.Cause, r.Notes)
		}
	}
}

func TestTheDoctorSignsInOnce(t *testing.T) {
	w := connected(t, lab.Options{})
	r, _ := labDoctor(t, w, t.TempDir(), "", "TUNNELMEDIC_HA_TOKEN="+lab.HAToken)
	if r.Code != doctor.Healthy || w.Core.Told().SignIns != 1 {
		t.Errorf("code %d, %d sign-ins", r.Code, w.Core.Told().SignIns)
	}
	if r.Took > 15*time.Second {
		t.Errorf("it took %s", r.Took)
	}
}

func TestTheDoctorStaysUnderFifteenSecondsWhereNothingAnswers(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for every time-out there is")
	}
	t.Parallel()
	w := connected(t, lab.Options{})
	w.SetFaults(lab.Faults{EdgeSilent: true, OriginSilent: true})
	r, _ := labDoctor(t, w, t.TempDir(), "", "TUNNELMEDIC_PROBE_TIMEOUT=60s")
	if r.Took > 15*time.Second || r.Code == doctor.Healthy {
		t.Errorf("it took %s, code %d", r.Took, r.Code)
	}
}

func TestTheDoctorAsksWhetherQUICGetsOut(t *testing.T) {
	t.Parallel()
	for blocked, want := range map[bool]doctor.Verdict{false: doctor.Good, true: doctor.Unsure} {
		w := connected(t, lab.Options{RunParameters: []string{"--protocol=http2"}, Faults: lab.Faults{UDPBlocked: blocked}})
		r, _ := labDoctor(t, w, t.TempDir(), "")
		i := slices.IndexFunc(r.Rows, func(row doctor.Row) bool { return row.Component == "QUIC" })
		if i < 0 || r.Rows[i].Verdict != want || (r.Rows[i].Do == "") == blocked || r.Seen["quic"] == "" || r.Code != doctor.Healthy {
			t.Errorf("blocked: %v; %+v", blocked, r.Rows)
		}
		env := w.Env()
		delete(env, "TUNNELMEDIC_QUIC_EDGE")
		c, err := addon.Consult(append(lab.Environ(env), "TUNNELMEDIC_OPTIONS_FILE="+t.TempDir()+"/none"), "1.2.3", addon.Consultation{})
		if err != nil {
			t.Fatal(err)
		}
		if r, err = doctor.Examine(t.Context(), c.Place, nil); err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(r.Rows, func(row doctor.Row) bool { return row.Component == "QUIC" }) {
			t.Error("a connector that a developer names is asked about edges that are not his")
		}
	}
}

// An app whose tunnel is managed locally cannot start while Cloudflare's API is away: who
// would restart it by hand should know. One with a token asks that API for nothing.
func TestTheDoctorSaysWhetherTheAppCouldStart(t *testing.T) {
	for name, c := range map[string]struct {
		local, away bool
		want        doctor.Verdict
	}{
		"Cloudflare's API answers": {true, false, doctor.Good},
		"it does not":              {true, true, doctor.Unsure},
		"a tunnel with a token":    {false, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := connected(t, lab.Options{Local: c.local})
			w.SetFaults(lab.Faults{APIAway: c.away})
			r, _ := labDoctor(t, w, t.TempDir(), "")
			i := slices.IndexFunc(r.Rows, func(row doctor.Row) bool { return row.Component == "app's start" })
			var got doctor.Row
			if i >= 0 {
				got = r.Rows[i]
			}
			if got.Verdict != c.want || (got.Do == "") != (c.want != doctor.Unsure) || r.Code != doctor.Healthy {
				t.Errorf("exit %d, %+v", r.Code, r.Rows)
			}
		})
	}
}
