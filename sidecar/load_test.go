package sidecar_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // what collectors send is compressed
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// sink is a backend that counts spans and does no more: the machine is for what
// is measured.
type sink struct {
	address string
	spans   atomic.Int64
}

func startSink(t testing.TB) *sink {
	t.Helper()
	s := &sink{}
	export := func(_ any, stream grpc.ServerStream) error {
		var body []byte
		if err := stream.RecvMsg(&body); err != nil {
			return err
		}
		s.spans.Add(int64(countSpans(body, 1, 2, 2)))
		return stream.SendMsg([]byte{})
	}
	server := grpc.NewServer(grpc.ForceServerCodecV2(plainBytes{}), grpc.UnknownServiceHandler(export), grpc.MaxRecvMsgSize(64<<20))
	listener, err := listenLoopback()
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		server.Stop()
		serving.Wait()
	})
	return s
}

// countSpans counts the messages at the end of a path of field numbers.
func countSpans(message []byte, path ...protowire.Number) (n int) {
	for len(message) > 0 {
		field, kind, head := protowire.ConsumeTag(message)
		if head < 0 {
			return n
		}
		rest := protowire.ConsumeFieldValue(field, kind, message[head:])
		if rest < 0 {
			return n
		}
		if field == path[0] && kind == protowire.BytesType {
			inner, _ := protowire.ConsumeBytes(message[head:])
			if len(path) == 1 {
				n++
			} else {
				n += countSpans(inner, path[1:]...)
			}
		}
		message = message[head+rest:]
	}
	return n
}

type plainBytes struct{}

func (plainBytes) Name() string { return "proto" }

func (plainBytes) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (plainBytes) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// pace sends a rate of spans, five requests a second, as an SDK in a service of
// that load would; stop ends it.
func (c *client) pace(rate int) (stop func()) {
	return background(func(ctx context.Context) {
		per := max(1, rate/5)
		tick := time.NewTicker(time.Second * time.Duration(per) / time.Duration(rate))
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_ = c.send(c.spans(per, 0)) //nolint:contextcheck // ends by itself
			case <-ctx.Done():
				return
			}
		}
	})
}

// underway is how many spans a flood keeps between application and backend:
// more than a batch, less than a queue.
const underway = 12_000

// flood sends as fast as the backend receives.
func (c *client) flood(to *sink) (stop func()) {
	request, began := c.spans(400, 0), to.spans.Load()
	var sent atomic.Int64
	return background(func(ctx context.Context) {
		var senders sync.WaitGroup
		for range 4 {
			senders.Go(func() {
				for ctx.Err() == nil {
					if sent.Load()-(to.spans.Load()-began) > underway {
						time.Sleep(100 * time.Microsecond)
						continue
					}
					sent.Add(400)
					if c.send(request) != nil { //nolint:contextcheck // ends by itself
						sent.Add(-400)
					}
				}
			})
		}
		senders.Wait()
	})
}

func background(work func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var working sync.WaitGroup
	working.Go(func() { work(ctx) })
	return func() {
		cancel()
		working.Wait()
	}
}
