/** containerd's task service: containers and the processes in them, on an OCI runtime. */
@NullMarked
package dev.coldstart.shim.task;

import org.jspecify.annotations.NullMarked;
