package addon_test

import (
	"bufio"
	"bytes"
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/addon"
	"tunnelmedic/internal/probe"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/tunnel"
	"tunnelmedic/internal/upstream"
	"tunnelmedic/internal/web"
)

// endlessHead answers every request with a head of 10 MB that does not end, and holds
// the connection. It counts who asked.
func endlessHead(t *testing.T) (address string, asked *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	asked = new(atomic.Int64)
	piece := []byte("X-Long: " + strings.Repeat("a", 16<<10) + "\r\n")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			go func() {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
					return
				}
				asked.Add(1)
				_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\n"))
				for range (10 << 20) / len(piece) {
					if _, err := c.Write(piece); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String(), asked
}

// TestAnEndlessHeadNeitherHoldsNorFills: every HTTP client of the program gives up on
// an answer whose head does not end, at once and before it has taken much of it.
func TestAnEndlessHeadNeitherHoldsNorFills(t *testing.T) {
	for name, ask := range map[string]func(context.Context, *url.URL){
		"probe: handshake": func(ctx context.Context, u *url.URL) { probe.Handshake(ctx, probe.Target{URL: u}) },
		"probe: page":      func(ctx context.Context, u *url.URL) { probe.Page(ctx, probe.Target{URL: u}) },
		"probe: direct": func(ctx context.Context, u *url.URL) {
			probe.Handshake(ctx, probe.DirectTarget(u, probe.DefaultTimeout, nil))
		},
		"DNS over HTTPS": func(ctx context.Context, u *url.URL) {
			r, err := probe.NewResolver(u.String(), nil)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = r.LookupNetIP(ctx, "ip", "ha.example.com")
		},
		"Supervisor": func(ctx context.Context, u *url.URL) {
			_, _ = supervisor.New(supervisor.Config{BaseURL: u.String(), Token: "token-of-the-test", TimeScale: 0.01}).Info(ctx, "9074a9fa_cloudflared")
		},
		"connector": func(ctx context.Context, u *url.URL) { tunnel.NewConnector(u.String()).Inspect(ctx, time.Now()) },
		"Cloudflare": func(ctx context.Context, u *url.URL) {
			upstream.New(upstream.Config{StatusURL: u.String(), APIURL: u.String(), Token: "token-of-the-test"}).Ask(ctx, upstream.Question{Hosts: []string{"ha.example.com"}, Reports: true})
		},
		"health check": func(ctx context.Context, u *url.URL) {
			_ = addon.Health(ctx, []string{addon.Prefix + "LISTEN=" + u.Host})
		},
	} {
		t.Run(name, func(t *testing.T) {
			address, asked := endlessHead(t)
			u := &url.URL{Scheme: "http", Host: address}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			ask(t.Context(), u)
			runtime.ReadMemStats(&after)
			n := asked.Load()
			if n == 0 {
				t.Fatal("nobody asked")
			}
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("it took %s", took)
			}
			if each := (after.TotalAlloc - before.TotalAlloc) / uint64(n); each > 2<<20 {
				t.Errorf("%d bytes of memory a question", each)
			}
		})
	}
}

// TestAnEndlessQuestionIsRefused: the page's server does the same with who asks it.
func TestAnEndlessQuestionIsRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s := web.Server(web.Config{Log: zerolog.New(&out)})
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	defer func() { s.Close(); <-done }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	go func() {
		_, _ = c.Write([]byte("GET /healthz HTTP/1.1\r\nHost: a\r\nX-Long: "))
		piece := bytes.Repeat([]byte("a"), 16<<10)
		for range 640 {
			if _, err := c.Write(piece); err != nil {
				return
			}
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%v, %v", resp, err)
	}
}

// TestEveryClientAndServerHasLimits reads the program's source, so that the next one
// has them too: no transport without a limit for heads, no server without one and
// without our log, and none of net/http's own clients, which have neither.
func TestEveryClientAndServerHasLimits(t *testing.T) {
	needs := map[string][]string{
		"Transport": {"MaxResponseHeaderBytes"},
		"Server":    {"MaxHeaderBytes", "ReadHeaderTimeout", "ErrorLog"},
		"Client":    {"Transport"},
	}
	loose := []string{"DefaultClient", "DefaultTransport", "Get", "Head", "Post", "PostForm", "ListenAndServe", "ListenAndServeTLS", "Serve"}
	seen := map[string]int{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2 || slices.Contains([]string{"lab", "sim"}, d.Name())):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit:
				what, ok := of(n.Type, "http")
				if !ok || needs[what] == nil {
					return true
				}
				seen[what]++
				for _, field := range needs[what] {
					if !slices.ContainsFunc(n.Elts, func(e ast.Expr) bool {
						kv, ok := e.(*ast.KeyValueExpr)
						return ok && kv.Key.(*ast.Ident).Name == field
					}) {
						t.Errorf("%s: http.%s without %s", set.Position(n.Pos()), what, field)
					}
				}
			case *ast.SelectorExpr:
				if what, ok := of(n, "http"); ok && slices.Contains(loose, what) {
					t.Errorf("%s: http.%s has no limits", set.Position(n.Pos()), what)
				}
				if what, ok := of(n, "resty"); ok && strings.HasPrefix(what, "New") && filepath.Dir(path) != filepath.Join("..", "internal", "network") {
					t.Errorf("%s: resty.%s: what network.Client makes has limits", set.Position(n.Pos()), what)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen["Transport"] < 1 || seen["Server"] < 1 || seen["Client"] < 2 {
		t.Errorf("it did not look where they are: %v", seen)
	}
}

func of(n ast.Expr, pkg string) (name string, ok bool) {
	s, ok := n.(*ast.SelectorExpr)
	if !ok {
		return "", false
	}
	id, ok := s.X.(*ast.Ident)
	return s.Sel.Name, ok && id.Name == pkg
}
