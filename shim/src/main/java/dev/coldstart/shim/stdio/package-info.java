/** A process's stdin, stdout and stderr: between what containerd names in a request and the container's descriptors. */
@NullMarked
package dev.coldstart.shim.stdio;

import org.jspecify.annotations.NullMarked;
