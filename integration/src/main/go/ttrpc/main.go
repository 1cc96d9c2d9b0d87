// Command ttrpc speaks ttrpc as containerd does, with its own client and server.
//
//	ttrpc client SOCKET    calls the test service of a server; prints a line for each check that held, and what did not
//	ttrpc dial SOCKET      one call; for callers of other users
//	ttrpc serve SOCKET     the test service, until standard input ends
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	service = "coldstart.test.Echo"
	// Of a frame's data.
	limit = 4 << 20
	// What a tag and a length of that size take.
	field = 5
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: ttrpc client|dial|serve SOCKET")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "ttrpc:", err)
		os.Exit(1)
	}
}

func run(command, socket string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	switch command {
	case "client":
		return check(ctx, socket)
	case "dial":
		client, err := dial(socket)
		if err != nil {
			return err
		}
		defer client.Close()
		return client.Call(ctx, service, "Nothing", &emptypb.Empty{}, &emptypb.Empty{})
	case "serve":
		return serve(ctx, socket)
	}
	return fmt.Errorf("no command %s", command)
}

func dial(socket string) (*ttrpc.Client, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	return ttrpc.NewClient(conn), nil
}

func serve(ctx context.Context, socket string) error {
	server, err := ttrpc.NewServer()
	if err != nil {
		return err
	}
	server.RegisterService(service, &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{
			"Echo": func(_ context.Context, unmarshal func(any) error) (any, error) {
				var text wrapperspb.StringValue
				return &text, unmarshal(&text)
			},
			"Nothing": func(_ context.Context, unmarshal func(any) error) (any, error) {
				return &emptypb.Empty{}, nil
			},
			"Fail": func(_ context.Context, unmarshal func(any) error) (any, error) {
				return nil, status.Error(codes.NotFound, "no such thing: not found")
			},
			"Metadata": func(ctx context.Context, unmarshal func(any) error) (any, error) {
				return metadata(ctx), nil
			},
			"Slow": func(ctx context.Context, unmarshal func(any) error) (any, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
			"Big": func(_ context.Context, unmarshal func(any) error) (any, error) {
				var size wrapperspb.Int64Value
				if err := unmarshal(&size); err != nil {
					return nil, err
				}
				return &wrapperspb.BytesValue{Value: make([]byte, size.Value)}, nil
			},
		},
		Streams: map[string]ttrpc.Stream{
			"EchoStream": {Handler: echo, StreamingClient: true, StreamingServer: true},
			"Sum":        {Handler: sum, StreamingClient: true},
			"Count":      {Handler: count, StreamingServer: true},
			"FailStream": {Handler: func(_ context.Context, stream ttrpc.StreamServer) (any, error) {
				if err := stream.SendMsg(&wrapperspb.Int64Value{Value: 1}); err != nil {
					return nil, err
				}
				return nil, status.Error(codes.NotFound, "no such thing: not found")
			}, StreamingServer: true},
			"MetadataStream": {Handler: func(ctx context.Context, stream ttrpc.StreamServer) (any, error) {
				return nil, stream.SendMsg(metadata(ctx))
			}, StreamingServer: true},
			"SlowStream": {Handler: func(ctx context.Context, stream ttrpc.StreamServer) (any, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}, StreamingServer: true},
		},
	})
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	fmt.Println("serving")
	if err := server.Serve(ctx, listener); !errors.Is(err, ttrpc.ErrServerClosed) {
		return err
	}
	return nil
}

func metadata(ctx context.Context) *wrapperspb.StringValue {
	value, _ := ttrpc.GetMetadataValue(ctx, "Key")
	return &wrapperspb.StringValue{Value: value}
}

func echo(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	for {
		var message wrapperspb.BytesValue
		if err := stream.RecvMsg(&message); errors.Is(err, io.EOF) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		if err := stream.SendMsg(&message); err != nil {
			return nil, err
		}
	}
}

func sum(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	var total int64
	for {
		var message wrapperspb.Int64Value
		if err := stream.RecvMsg(&message); errors.Is(err, io.EOF) {
			return &wrapperspb.Int64Value{Value: total}, nil
		} else if err != nil {
			return nil, err
		}
		total += message.Value
	}
}

func count(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	var last wrapperspb.Int64Value
	if err := stream.RecvMsg(&last); err != nil {
		return nil, err
	}
	for i := int64(0); i < last.Value; i++ {
		if err := stream.SendMsg(&wrapperspb.Int64Value{Value: i}); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
