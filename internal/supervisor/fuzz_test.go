package supervisor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"tunnelmedic/internal/lab/wire"
	"tunnelmedic/internal/supervisor"
)

// Whatever answers in Supervisor's place, every question ends in a value or in an Error,
// whose text is a line without the token and without a word of options.
func FuzzAnswers(f *testing.F) {
	for _, body := range []string{
		`{"result":"ok","data":{"slug":"9074a9fa_cloudflared","name":"Cloudflared","state":"started","version":"6.0.3","hostname":"9074a9fa-cloudflared","options":{"tunnel_token":"an-option-that-is-secret","run_parameters":["--protocol=quic"]}}}`,
		`{"result":"ok","data":{"addons":[{"slug":"a","name":"b","state":"started","repository":"c"}]}}`, `{"result":"error","message":"Another job is running for job group app_x"}`,
		`{"result":"ok","data":{"host_internet":true,"supervisor_internet":null}}`, `{"result":"ok","data":{"port":8123,"ssl":false,"version":"2026.11.2"}}`,
		`{"external_url":null,"version":"2026.11.2","state":"RUNNING"}`, `{"result":"ok","data":{"host":"core-mosquitto","port":1883,"username":"u","password":"an-option-that-is-secret","ssl":false}}`,
		`{"result":"error","message":"App x has invalid options: an-option-that-is-secret","error_key":"app_configuration_invalid_error"}`,
		"2026-11-21T10:00:00Z INF line\n\xff\x00", `{"result":7}`, `<html>`, ``,
	} {
		f.Add("200 OK", []byte(body))
	}
	f.Add("400 Bad Request", []byte(`{"result":"error","message":"System is not ready with state: setup"}`))
	f.Add("502 Bad Gateway", []byte("502: Bad Gateway"))
	const token = "a-token-of-supervisors"
	f.Fuzz(func(t *testing.T, status string, body []byte) {
		answer := wire.HTTP(strings.NewReplacer("\r", " ", "\n", " ").Replace(status), "application/json", body)
		c := supervisor.New(supervisor.Config{BaseURL: "http://127.0.0.1:1", Token: token, Net: wire.Saying(answer), TimeScale: 1e-9 + 0.0001})
		ctx := context.WithoutCancel(t.Context())
		const app = "9074a9fa_cloudflared"
		options := supervisor.Options{"tunnel_token": json.RawMessage(`"an-option-that-is-secret"`)}
		for what, ask := range map[string]func() (any, error){
			"info": func() (any, error) { return c.Info(ctx, app) }, "add-ons": func() (any, error) { return c.AddOns(ctx) }, "self": func() (any, error) { return c.Self(ctx) },
			"config": func() (any, error) { return c.CoreConfig(ctx) }, "core": func() (any, error) { return c.CoreInfo(ctx) }, "state": func() (any, error) { return c.CoreState(ctx) },
			"network": func() (any, error) { return c.Network(ctx) }, "system": func() (any, error) { return c.SystemInfo(ctx) }, "broker": func() (any, error) { b, _, err := c.MQTT(ctx); return b, err },
			"log":        func() (any, error) { return c.Log(ctx, app) },
			"Core's log": func() (any, error) { return c.CoreLog(ctx) }, "store": func() (any, error) { return c.Repository(ctx, app) },
			"addresses": func() (any, error) { return c.Addresses(ctx) },
			"options":   func() (any, error) { return nil, c.SetOptions(ctx, app, options) }, "validate": func() (any, error) { return nil, c.ValidateOptions(ctx, app, options) },
			"restart": func() (any, error) { return nil, c.Restart(ctx, app) },
		} {
			v, err := ask()
			if err != nil {
				var e *supervisor.Error
				if !errors.As(err, &e) {
					t.Errorf("%s: %v is no Error", what, err)
				}
				if text := err.Error(); strings.Contains(text, token) || strings.ContainsAny(text, "\r\n") || len(text) > 2000 || (what == "options" || what == "validate") && strings.Contains(text, "that-is-secret") {
					t.Errorf("%s: the error is %q", what, text)
				}
				continue
			}
			if text := fmt.Sprintf("%v %+v", v, v); what != "log" && what != "Core's log" && strings.Contains(text, token) {
				t.Errorf("%s prints the token: %s", what, text)
			}
		}
	})
}
