/** {@code containerd-shim-coldstart-v1}: the daemon that runs a pod's containers for containerd. */
@NullMarked
package dev.coldstart.shim;

import org.jspecify.annotations.NullMarked;
