/** The demand table that {@code coldstart plan} reads. */
@NullMarked
package dev.coldstart.cli.demand;

import org.jspecify.annotations.NullMarked;
