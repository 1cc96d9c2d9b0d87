/** CRIU's configuration, image files and error messages, as far as coldstart touches them. */
@NullMarked
package dev.coldstart.restore.criu;

import org.jspecify.annotations.NullMarked;
