package dev.coldstart.restore;

import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Map;

/** How runc is run: the shim owns the spawning and reaping of processes, and which stdio they get. */
@FunctionalInterface
public interface RuncCommand {
    /**
     * Runs runc to its end.
     *
     * @param arguments the subcommand and its arguments, such as {@code pause ID}; the implementation puts the global
     *     options ({@code --root}, {@code --log}, {@code --systemd-cgroup}) before them
     * @param environment variables to add to the implementation's own environment
     * @param limit after this time the command is killed, and the result says so
     * @throws IOException if runc cannot be started, with one sentence
     * @throws InterruptedException if the thread is interrupted while waiting; the command has been killed then
     */
    RuncResult run(List<String> arguments, Map<String, String> environment, Duration limit)
            throws IOException, InterruptedException;
}
