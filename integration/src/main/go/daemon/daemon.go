// Package daemon runs a coldstart-snapshotter of its own for a test.
package daemon

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	program = "/opt/coldstart/bin/coldstart-snapshotter"
	up      = 2 * time.Minute
	down    = time.Minute
)

// Start runs a daemon that keeps everything under root, and connects to it as containerd does. The function that it returns
// ends both, and fails if the daemon left a mount behind.
func Start(root string) (*grpc.ClientConn, func() error, error) {
	// Short, as containerd's own state directory is: 128 layers must fit into one page of mount options.
	state, err := os.MkdirTemp("/run", "s")
	if err != nil {
		return nil, nil, err
	}
	config := filepath.Join(root, "config.toml")
	text := fmt.Sprintf("[snapshotter]\nroot = %q\nstate = %q\ncontainerd_address = %q\n",
		filepath.Join(root, "store"), state, filepath.Join(state, "no-containerd.sock"))
	if err := os.WriteFile(config, []byte(text), 0600); err != nil {
		return nil, nil, err
	}
	log, err := os.Create(filepath.Join(root, "log"))
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	process := exec.Command(program, "--config", config)
	process.Stdout, process.Stderr = log, log
	if err := process.Start(); err != nil {
		return nil, nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- process.Wait() }()
	socket := filepath.Join(state, "snapshotter.sock")
	if err := await(socket, ended); err != nil {
		_ = process.Process.Kill()
		said, _ := os.ReadFile(log.Name())
		return nil, nil, fmt.Errorf("%w; the daemon said: %s", err, said)
	}
	conn, err := grpc.NewClient("passthrough:///"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, path string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20), grpc.MaxCallSendMsgSize(16<<20)))
	if err != nil {
		_ = process.Process.Kill()
		return nil, nil, err
	}
	stop := func() error {
		_ = conn.Close()
		_ = process.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(down):
			_ = process.Process.Kill()
			return fmt.Errorf("the daemon did not end within %s", down)
		}
		left, err := mounts(root, state)
		if err != nil {
			return err
		}
		if len(left) > 0 {
			return fmt.Errorf("the daemon left mounts behind: %s", strings.Join(left, " "))
		}
		return os.RemoveAll(state)
	}
	return conn, stop, nil
}

func await(socket string, ended <-chan error) error {
	for deadline := time.Now().Add(up); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-ended:
			return fmt.Errorf("the daemon ended: %v", err)
		default:
		}
		if conn, err := net.Dial("unix", socket); err == nil {
			return conn.Close()
		}
	}
	return fmt.Errorf("the daemon did not serve %s within %s", socket, up)
}

// Mount points under these directories.
func mounts(directories ...string) ([]string, error) {
	table, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer table.Close()
	var found []string
	for lines := bufio.NewScanner(table); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		for _, directory := range directories {
			if len(fields) > 4 && strings.HasPrefix(fields[4], directory+"/") {
				found = append(found, fields[4])
			}
		}
	}
	return found, nil
}
