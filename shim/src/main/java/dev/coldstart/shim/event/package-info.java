/** Events to containerd. */
@NullMarked
package dev.coldstart.shim.event;

import org.jspecify.annotations.NullMarked;
