/** The gRPC services: containerd's snapshots, and coldstart's own for the command line and the planner. */
@NullMarked
package dev.coldstart.snapshotter.service;

import org.jspecify.annotations.NullMarked;
