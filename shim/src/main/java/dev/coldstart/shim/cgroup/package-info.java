/** What the kernel accounts for a container: its processes, metrics and out-of-memory kills, in cgroups v1 and v2. */
@NullMarked
package dev.coldstart.shim.cgroup;

import org.jspecify.annotations.NullMarked;
