// Package suite1 runs the snapshot test suite of containerd 1.7 on coldstart-snapshotter.
package suite1

import (
	"context"
	"testing"

	api "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/snapshots"
	"github.com/containerd/containerd/snapshots/proxy"
	"github.com/containerd/containerd/snapshots/testsuite"

	"dev.coldstart/integration/daemon"
)

func TestSnapshotter(t *testing.T) {
	testsuite.SnapshotterSuite(t, "coldstart", func(_ context.Context, root string) (snapshots.Snapshotter, func() error, error) {
		conn, stop, err := daemon.Start(root)
		if err != nil {
			return nil, nil, err
		}
		return proxy.NewSnapshotter(api.NewSnapshotsClient(conn), "coldstart"), stop, nil
	})
}
