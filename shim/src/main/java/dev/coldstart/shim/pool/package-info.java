/** Being started before it is known for which container: the JVM's side of the pool that {@code coldstart-shim-pool} keeps. */
@NullMarked
package dev.coldstart.shim.pool;

import org.jspecify.annotations.NullMarked;
