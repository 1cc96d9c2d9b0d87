/** What a container's root file system costs its programs: the benchmark {@code fs}. */
@NullMarked
package dev.coldstart.integration.files;

import org.jspecify.annotations.NullMarked;
