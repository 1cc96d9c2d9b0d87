/**
 * ttrpc, containerd's small RPC protocol over unix sockets: unary calls and streams, server and client. Facts:
 * containerd/ttrpc PROTOCOL.md, and client.go and server.go of 1.1 to 1.2.
 */
@NullMarked
package dev.coldstart.shim.ttrpc;

import org.jspecify.annotations.NullMarked;
