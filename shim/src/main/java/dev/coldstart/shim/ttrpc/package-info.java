/**
 * ttrpc, containerd's small RPC protocol over unix sockets: unary calls, server and client. Facts: containerd/ttrpc
 * PROTOCOL.md and server.go of 1.1 to 1.2.
 */
@NullMarked
package dev.coldstart.shim.ttrpc;

import org.jspecify.annotations.NullMarked;
