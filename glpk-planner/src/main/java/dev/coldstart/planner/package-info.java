/** The program {@code coldstart-planner}: a gRPC service in front of the staging plan. */
@NullMarked
package dev.coldstart.planner;

import org.jspecify.annotations.NullMarked;
