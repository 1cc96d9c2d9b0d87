@NullMarked
package dev.coldstart.integration.shim;

import org.jspecify.annotations.NullMarked;
