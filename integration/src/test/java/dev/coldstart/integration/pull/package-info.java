/** What the benchmark says of its measurements. */
@NullMarked
package dev.coldstart.integration.pull;

import org.jspecify.annotations.NullMarked;
