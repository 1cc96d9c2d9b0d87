/** What the shim says to containerd's log. */
@NullMarked
package dev.coldstart.shim.log;

import org.jspecify.annotations.NullMarked;
