/** The OCI runtime's command line. Facts: containerd/go-runc and runc 1.1 to 1.3. */
@NullMarked
package dev.coldstart.shim.runc;

import org.jspecify.annotations.NullMarked;
