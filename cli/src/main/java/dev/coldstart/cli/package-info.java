/** The command line: one class per command, and what they share to reach the programs and to print. */
@NullMarked
package dev.coldstart.cli;

import org.jspecify.annotations.NullMarked;
