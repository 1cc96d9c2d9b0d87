package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type checker struct {
	ctx    context.Context
	socket string
	client *ttrpc.Client
}

// check runs all checks on one connection, and those that need raw frames on connections of their own.
func check(ctx context.Context, socket string) error {
	client, err := dial(socket)
	if err != nil {
		return err
	}
	defer client.Close()
	c := checker{ctx, socket, client}
	failed := 0
	for _, one := range []struct {
		name string
		run  func() error
	}{
		{"unary", c.unary},
		{"empty answer", c.nothing},
		{"error status", c.fail},
		{"unknown method and service", c.unknown},
		{"limits", c.limits},
		{"deadline", c.deadline},
		{"metadata", c.metadata},
		{"many calls at once", c.many},
		{"bidirectional stream", c.bidirectional},
		{"client stream", c.clientStream},
		{"server stream", c.serverStream},
		{"failing stream", c.failingStream},
		{"unknown stream", c.unknownStream},
		{"oversized stream message", c.oversizedMessage},
		{"streams and calls at once", c.mixed},
		{"wrong stream ids", c.wrongStreams},
		{"stream metadata and deadline", c.streamRequest},
		{"still alive", c.unary},
	} {
		if err := one.run(); err != nil {
			failed++
			fmt.Printf("FAILED %s: %v\n", one.name, err)
		} else {
			fmt.Println("ok", one.name)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d checks failed", failed)
	}
	return nil
}

func (c checker) call(method string, request, answer proto.Message) error {
	return c.client.Call(c.ctx, service, method, request, answer)
}

func (c checker) echo(text string) error {
	var answer wrapperspb.StringValue
	if err := c.call("Echo", wrapperspb.String(text), &answer); err != nil {
		return err
	}
	if answer.Value != text {
		return fmt.Errorf("%d bytes came back as %d", len(text), len(answer.Value))
	}
	return nil
}

func is(err error, code codes.Code, message string) error {
	if got, ok := status.FromError(err); !ok || got.Code() != code || !strings.Contains(got.Message(), message) {
		return fmt.Errorf("not %v %q but %v", code, message, err)
	}
	return nil
}

func (c checker) unary() error { return c.echo("hello") }

func (c checker) nothing() error { return c.call("Nothing", &emptypb.Empty{}, &emptypb.Empty{}) }

func (c checker) fail() error {
	return is(c.call("Fail", &emptypb.Empty{}, &emptypb.Empty{}), codes.NotFound, "no such thing: not found")
}

func (c checker) unknown() error {
	return errors.Join(
		is(c.call("None", &emptypb.Empty{}, &emptypb.Empty{}), codes.Unimplemented, "method None"),
		is(c.client.Call(c.ctx, "none.None", "Echo", &emptypb.Empty{}, &emptypb.Empty{}), codes.Unimplemented, "service none.None"))
}

func (c checker) limits() error {
	// What the envelope takes: payload, service and method with their tags and lengths, and no deadline.
	plain := checker{context.WithoutCancel(c.ctx), c.socket, c.client}
	envelope := field + field + 2 + len(service) + 2 + len("Echo")
	var big wrapperspb.BytesValue
	if err := c.call("Big", wrapperspb.Int64(limit-2*field), &big); err != nil || len(big.Value) != limit-2*field {
		return fmt.Errorf("the largest answer, %d bytes: %v", len(big.Value), err)
	}
	return errors.Join(
		plain.echo(strings.Repeat("x", limit-envelope)),
		// The client itself refuses two bytes too many.
		is(plain.echo(strings.Repeat("x", limit-envelope+2)), codes.ResourceExhausted, ""),
		is(c.call("Big", wrapperspb.Int64(limit), &big), codes.ResourceExhausted, "exceeds 4 MiB"),
		c.unary(),
		// And the server, which goes on with the connection.
		c.raw(func(raw *rawConn) error {
			raw.send(1, 1, 0, make([]byte, limit+1))
			raw.send(3, 1, 0, request("Nothing", &emptypb.Empty{}, 0, nil))
			return errors.Join(raw.failure(1, codes.ResourceExhausted), raw.failure(3, codes.OK))
		}))
}

func (c checker) deadline() error {
	ctx, cancel := context.WithTimeout(c.ctx, 50*time.Millisecond)
	defer cancel()
	if err := c.client.Call(ctx, service, "Slow", &emptypb.Empty{}, &emptypb.Empty{}); err == nil {
		return errors.New("an answer came")
	}
	return c.raw(func(raw *rawConn) error {
		raw.send(1, 1, 0, request("Slow", &emptypb.Empty{}, 50*time.Millisecond, nil))
		return raw.failure(1, codes.DeadlineExceeded)
	})
}

func (c checker) metadata() error {
	ctx := ttrpc.WithMetadata(c.ctx, ttrpc.MD{"key": {"one", "two"}})
	var answer wrapperspb.StringValue
	if err := c.client.Call(ctx, service, "Metadata", &emptypb.Empty{}, &answer); err != nil {
		return err
	}
	if answer.Value != "one" {
		return fmt.Errorf("the server saw %q", answer.Value)
	}
	return nil
}

func together(n int, one func(int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Add(1)
		go func() {
			defer all.Done()
			errs[i] = one(i)
		}()
	}
	all.Wait()
	return errors.Join(errs...)
}

func (c checker) many() error {
	return together(1000, func(i int) error { return c.echo(strings.Repeat("x", i*7)) })
}

func (c checker) stream(method string, client, server bool, request any) (ttrpc.ClientStream, error) {
	return c.client.NewStream(c.ctx, &ttrpc.StreamDesc{StreamingClient: client, StreamingServer: server}, service, method, request)
}

func (c checker) bidirectional() error { return c.echoStream(200) }

func (c checker) echoStream(messages int) error {
	stream, err := c.stream("EchoStream", true, true, nil)
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	size := func(i int) int { return (i * i * 17) % 30000 }
	go func() {
		for i := range messages {
			if err := stream.SendMsg(wrapperspb.Bytes(make([]byte, size(i)))); err != nil {
				sent <- err
				return
			}
		}
		sent <- stream.CloseSend()
	}()
	for i := range messages {
		var message wrapperspb.BytesValue
		if err := stream.RecvMsg(&message); err != nil {
			return err
		}
		if len(message.Value) != size(i) {
			return fmt.Errorf("message %d has %d bytes", i, len(message.Value))
		}
	}
	return errors.Join(end(stream), <-sent)
}

func end(stream ttrpc.ClientStream) error {
	if err := stream.RecvMsg(&emptypb.Empty{}); !errors.Is(err, io.EOF) {
		return fmt.Errorf("not the end but %v", err)
	}
	return nil
}

func (c checker) clientStream() error {
	stream, err := c.stream("Sum", true, false, nil)
	if err != nil {
		return err
	}
	for i := range 10000 {
		if err := stream.SendMsg(wrapperspb.Int64(int64(i))); err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	var total wrapperspb.Int64Value
	if err := stream.RecvMsg(&total); err != nil {
		return err
	}
	if total.Value != 10000*9999/2 {
		return fmt.Errorf("the sum is %d", total.Value)
	}
	return end(stream)
}

func (c checker) serverStream() error {
	stream, err := c.stream("Count", false, true, wrapperspb.Int64(10000))
	if err != nil {
		return err
	}
	for i := range 10000 {
		var message wrapperspb.Int64Value
		if err := stream.RecvMsg(&message); err != nil {
			return err
		}
		if message.Value != int64(i) {
			return fmt.Errorf("message %d is %d", i, message.Value)
		}
	}
	if err := end(stream); err != nil {
		return err
	}
	// Zero: a request without bytes, and a stream without messages.
	stream, err = c.stream("Count", false, true, wrapperspb.Int64(0))
	if err != nil {
		return err
	}
	return end(stream)
}

func (c checker) failingStream() error {
	stream, err := c.stream("FailStream", false, true, &emptypb.Empty{})
	if err != nil {
		return err
	}
	var message wrapperspb.Int64Value
	if err := stream.RecvMsg(&message); err != nil {
		return err
	}
	return is(stream.RecvMsg(&message), codes.NotFound, "no such thing: not found")
}

func (c checker) unknownStream() error {
	stream, err := c.stream("NoStream", true, true, nil)
	if err != nil {
		return err
	}
	return is(stream.RecvMsg(&emptypb.Empty{}), codes.Unimplemented, "method NoStream")
}

func (c checker) oversizedMessage() error {
	stream, err := c.stream("EchoStream", true, true, nil)
	if err != nil {
		return err
	}
	var message wrapperspb.BytesValue
	if err := stream.SendMsg(wrapperspb.Bytes(make([]byte, limit-field))); err != nil {
		return err
	}
	if err := stream.RecvMsg(&message); err != nil || len(message.Value) != limit-field {
		return fmt.Errorf("the largest message, %d bytes: %v", len(message.Value), err)
	}
	return c.raw(func(raw *rawConn) error {
		raw.send(1, 1, 2, request("EchoStream", nil, 0, nil))
		raw.send(1, 3, 0, make([]byte, limit+1))
		return raw.failure(1, codes.ResourceExhausted)
	})
}

func (c checker) mixed() error {
	return together(40, func(i int) error {
		if i%2 == 0 {
			return c.echoStream(50)
		}
		for range 50 {
			if err := c.echo(strings.Repeat("x", i*100)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c checker) wrongStreams() error {
	return c.raw(func(raw *rawConn) error {
		nothing := request("Nothing", &emptypb.Empty{}, 0, nil)
		raw.send(2, 1, 0, nothing)
		raw.send(7, 1, 0, nothing)
		if err := errors.Join(raw.failure(2, codes.InvalidArgument), raw.failure(7, codes.OK)); err != nil {
			return err
		}
		raw.send(7, 1, 0, nothing)
		raw.send(5, 1, 0, nothing)
		raw.send(9, 3, 0, nil)
		raw.send(9, 77, 0, nothing)
		raw.send(9, 1, 0, nothing)
		return errors.Join(raw.failure(7, codes.InvalidArgument), raw.failure(5, codes.InvalidArgument),
			raw.failure(9, codes.InvalidArgument), raw.failure(9, codes.OK))
	})
}

// Go's client sends neither with a stream, though its server takes both.
func (c checker) streamRequest() error {
	return c.raw(func(raw *rawConn) error {
		raw.send(1, 1, 1, request("MetadataStream", &emptypb.Empty{}, 0, []*ttrpc.KeyValue{{Key: "key", Value: "value"}}))
		kind, flags, data, err := raw.receive(1)
		var value wrapperspb.StringValue
		if err = errors.Join(err, proto.Unmarshal(data, &value)); err != nil || kind != 3 || flags != 0 || value.Value != "value" {
			return fmt.Errorf("a frame of type %d, flags %d, with %q: %v", kind, flags, value.Value, err)
		}
		if kind, flags, data, err = raw.receive(1); err != nil || kind != 3 || flags != 5 || len(data) > 0 {
			return fmt.Errorf("the last frame has type %d, flags %d: %v", kind, flags, err)
		}
		raw.send(3, 1, 1, request("SlowStream", &emptypb.Empty{}, 50*time.Millisecond, nil))
		return raw.failure(3, codes.DeadlineExceeded)
	})
}

// A rawConn sends frames that the client would not.
type rawConn struct {
	conn net.Conn
	in   *bufio.Reader
	err  error
}

func (c checker) raw(run func(*rawConn) error) error {
	conn, err := net.Dial("unix", c.socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := c.ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	raw := &rawConn{conn: conn, in: bufio.NewReader(conn)}
	return errors.Join(run(raw), raw.err)
}

func request(method string, payload proto.Message, timeout time.Duration, metadata []*ttrpc.KeyValue) []byte {
	var data []byte
	if payload != nil {
		data, _ = proto.Marshal(payload)
	}
	encoded, _ := proto.Marshal(&ttrpc.Request{
		Service: service, Method: method, Payload: data, TimeoutNano: timeout.Nanoseconds(), Metadata: metadata,
	})
	return encoded
}

func (r *rawConn) send(stream uint32, kind, flags byte, data []byte) {
	header := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	header = binary.BigEndian.AppendUint32(header, stream)
	_, err := r.conn.Write(append(append(header, kind, flags), data...))
	r.err = errors.Join(r.err, err)
}

func (r *rawConn) receive(stream uint32) (kind, flags byte, data []byte, err error) {
	var header [10]byte
	if _, err = io.ReadFull(r.in, header[:]); err != nil {
		return 0, 0, nil, err
	}
	data = make([]byte, binary.BigEndian.Uint32(header[:4]))
	if _, err = io.ReadFull(r.in, data); err == nil && binary.BigEndian.Uint32(header[4:8]) != stream {
		err = fmt.Errorf("a frame of stream %d, not %d", binary.BigEndian.Uint32(header[4:8]), stream)
	}
	return header[8], header[9], data, err
}

// failure reads a response, whose status may be OK.
func (r *rawConn) failure(stream uint32, code codes.Code) error {
	kind, _, data, err := r.receive(stream)
	if err != nil {
		return err
	}
	var response ttrpc.Response
	if err := proto.Unmarshal(data, &response); err != nil {
		return err
	}
	if got := codes.Code(response.GetStatus().GetCode()); kind != 2 || got != code {
		return fmt.Errorf("stream %d: type %d, %v, not %v", stream, kind, got, code)
	}
	return nil
}
