/** What containers cost behind coldstart's shim and behind runc's, measured side by side. */
@NullMarked
package dev.coldstart.integration.shim;

import org.jspecify.annotations.NullMarked;
