/** How long a container takes to its first answer: the benchmark {@code start}, and the demo that shows one run of it. */
@NullMarked
package dev.coldstart.integration.start;

import org.jspecify.annotations.NullMarked;
