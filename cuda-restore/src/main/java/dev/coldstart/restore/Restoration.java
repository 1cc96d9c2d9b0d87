package dev.coldstart.restore;

import java.time.Duration;

/**
 * A restored container.
 *
 * @param pid its first process, in the caller's pid namespace; a child of the nearest subreaper
 * @param total from the call until runc had ended
 * @param criu of that, what CRIU reports for the restore itself; zero if it left no figures
 * @param pages pages of memory that were filled
 */
public record Restoration(int pid, Duration total, Duration criu, long pages) {}
