// Package browser drives a headless Chromium with the tests of web pages. What a page
// reports as an error, and each request to another server, is collected.
package browser

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/nova/novawire/internal/testing/prerequisite"
)

// program names the variable with the path of Chromium.
const program = "NOVAWIRE_CHROMIUM"

// patience bounds each wait. A page answers in milliseconds; a machine that is busy does not.
const patience = 60 * time.Second

// Page is a tab.
type Page struct {
	tb  testing.TB
	ctx context.Context

	mu       sync.Mutex
	problems []string
	host     string
}

// New starts a browser with an empty tab, which ends with the test.
func New(tb testing.TB) *Page {
	tb.Helper()
	path := prerequisite.Path(tb, program, "chromium")
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.WindowSize(1280, 900))
	if os.Getuid() == 0 { // its sandbox refuses to run as root
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	p := &Page{tb: tb}
	var closeTab context.CancelFunc
	p.ctx, closeTab = chromedp.NewContext(allocator, chromedp.WithListener(p.observe))
	tb.Cleanup(func() {
		_ = chromedp.Cancel(p.ctx)
		closeTab()
		stop()
	})
	if err := chromedp.Do(p.ctx); err != nil { // without a time limit: it would end the browser
		tb.Fatalf("start %s: %v", path, err)
	}
	return p
}

// observe must return fast: it is called where the messages of the browser are read.
func (p *Page) observe(event any) {
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			var words []string
			for _, a := range e.Args {
				words = append(words, string(a.Value)+a.Description)
			}
			p.problem("console: " + strings.Join(words, " "))
		}
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
		p.problem("exception: " + text)
	case *log.EventEntryAdded:
		p.problem(fmt.Sprintf("log: %s %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
	case *network.EventRequestWillBeSent:
		if at, err := url.Parse(e.Request.URL); err == nil && at.Host != p.server() {
			p.problem("request to another server: " + e.Request.URL)
		}
	}
}

func (p *Page) server() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.host
}

func (p *Page) problem(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problems = append(p.problems, text)
}

// Problems returns the errors and warnings so far, and forgets them.
func (p *Page) Problems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.problems
	p.problems = nil
	return all
}

// run runs an action with a time limit.
func run[T any](p *Page, what string, action chromedp.Action[T]) T {
	p.tb.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		p.tb.Fatalf("%s: %v\n%s", what, err, strings.Join(p.Problems(), "\n"))
	}
	return value
}

// call runs a command of the protocol.
func call[P, R any](p *Page, command cdp.Command[P, R], params P) R {
	p.tb.Helper()
	return run(p, command.Method, func(ctx context.Context, t *chromedp.Target) (R, error) {
		return cdp.Call(ctx, t, command, params)
	})
}

// Open loads a page and waits until it is loaded.
func (p *Page) Open(address string) {
	p.tb.Helper()
	at, err := url.Parse(address)
	if err != nil {
		p.tb.Fatal(err)
	}
	p.mu.Lock()
	p.host = at.Host
	p.mu.Unlock()
	run(p, "open "+address, chromedp.Navigate(address))
}

// Appear sets the size of the window and the colours that the user prefers.
func (p *Page) Appear(width, height int64, dark bool) {
	p.tb.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	call(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1})
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
}

// Prepare runs a script before those of each page that is opened.
func (p *Page) Prepare(script string) {
	p.tb.Helper()
	call(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
}

// Value evaluates an expression of JavaScript, which may be a promise.
func Value[T any](p *Page, expression string) T {
	p.tb.Helper()
	return run(p, "evaluate "+expression, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// Wait waits until an expression of JavaScript is true.
func (p *Page) Wait(expression string) {
	p.tb.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 2*patience)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingTimeout(patience))); err != nil {
		text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string]("document.body ? document.body.innerText.slice(0, 3000) : ''"))
		p.tb.Fatalf("wait for %s: %v\n%s\nThe page shows:\n%s", expression, err, strings.Join(p.Problems(), "\n"), text)
	}
}

// Keys that have no letter.
const (
	Tab    = kb.Tab
	Enter  = kb.Enter
	Space  = " "
	Escape = kb.Escape
	Left   = kb.ArrowLeft
	Up     = kb.ArrowUp
	Home   = kb.Home
	End    = kb.End
)

// Press presses keys, one after the other.
func (p *Page) Press(keys ...string) {
	p.tb.Helper()
	for _, key := range keys {
		run(p, "press "+key, chromedp.KeyEvent(key))
	}
}

// Screenshot returns what the window shows, as PNG.
func (p *Page) Screenshot() []byte {
	p.tb.Helper()
	return run(p, "screenshot", chromedp.CaptureScreenshot())
}
