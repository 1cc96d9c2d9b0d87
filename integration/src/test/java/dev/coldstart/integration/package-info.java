/** What holds for the whole of coldstart. */
@NullMarked
package dev.coldstart.integration;

import org.jspecify.annotations.NullMarked;
