// Package suite2 runs the snapshot test suite of containerd 2 on coldstart-snapshotter.
package suite2

import (
	"context"
	"testing"

	api "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/proxy"
	"github.com/containerd/containerd/v2/core/snapshots/testsuite"

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
