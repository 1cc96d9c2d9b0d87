/** What each node should hold: the instance, its patterns, and the ways to choose them. */
@NullMarked
package dev.coldstart.planner.plan;

import org.jspecify.annotations.NullMarked;
