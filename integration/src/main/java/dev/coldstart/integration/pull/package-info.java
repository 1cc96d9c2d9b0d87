/** {@code integration/bench pull}: from the pull to the first answer and to the last byte, over links of several rates. */
@NullMarked
package dev.coldstart.integration.pull;

import org.jspecify.annotations.NullMarked;
