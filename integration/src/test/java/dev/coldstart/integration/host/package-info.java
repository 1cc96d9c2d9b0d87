/** Tests of the test hosts. */
@NullMarked
package dev.coldstart.integration.host;

import org.jspecify.annotations.NullMarked;
