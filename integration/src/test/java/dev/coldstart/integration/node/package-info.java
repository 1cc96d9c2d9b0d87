/** Tests on nodes with a real containerd, registry, runc and CRIU. */
@NullMarked
package dev.coldstart.integration.node;

import org.jspecify.annotations.NullMarked;
