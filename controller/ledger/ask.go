package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	ledgerapi "github.com/nova/novawire/api/ledger"
)

// asker reads the ledgers of sidecars.
type asker struct {
	client *http.Client
	finals chan struct{} // how many wait at once
}

const (
	dialTimeout = 2 * time.Second
	askTimeout  = 3 * time.Second
	maxFinals   = 200
	maxAnswer   = 16 << 10
)

func newAsker() asker {
	dialer := &net.Dialer{Timeout: dialTimeout}
	return asker{
		client: &http.Client{
			Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true, MaxResponseHeaderBytes: 4 << 10},
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse // an answer comes from the pod that was asked
			},
		},
		finals: make(chan struct{}, maxFinals),
	}
}

// current returns the ledger of a pod whose sidecar runs.
func (a asker) current(ctx context.Context, uid, address string) (ledgerapi.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return a.ask(ctx, uid, address, "")
}

// final waits for the final ledger of a pod.
func (a asker) final(ctx context.Context, uid, address string) (ledgerapi.Message, error) {
	select {
	case a.finals <- struct{}{}:
		defer func() { <-a.finals }()
	case <-ctx.Done():
		return ledgerapi.Message{}, ctx.Err()
	}
	m, err := a.ask(ctx, uid, address, ledgerapi.Final)
	if err == nil && m.Running {
		err = errors.New("read ledger: it is not final")
	}
	return m, err
}

func (a asker) ask(ctx context.Context, uid, address, query string) (m ledgerapi.Message, err error) {
	from := url.URL{Scheme: "http", Host: address, Path: ledgerapi.Path, RawQuery: query}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from.String(), http.NoBody)
	if err != nil {
		return m, fmt.Errorf("read ledger: %w", err)
	}
	response, err := a.client.Do(request)
	if err != nil {
		return m, fmt.Errorf("read ledger: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return m, fmt.Errorf("read ledger: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return m, fmt.Errorf("read ledger: %s", response.Status)
	}
	if m, err = ledgerapi.ParseMessage(text); err != nil {
		return m, err
	}
	if m.Pod != uid { // the address was given to another pod
		return m, fmt.Errorf("read ledger: pod %.40q answers", m.Pod)
	}
	return m, nil
}
