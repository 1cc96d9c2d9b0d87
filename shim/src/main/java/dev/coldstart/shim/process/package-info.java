/** Children of the shim: starting them, and learning how each one ended. */
@NullMarked
package dev.coldstart.shim.process;

import org.jspecify.annotations.NullMarked;
