package dev.coldstart.integration.node;

import dev.coldstart.integration.host.HostException;
import dev.coldstart.integration.host.Repository;
import dev.coldstart.integration.host.TestHost;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/** Programs that drive containerd as users do, as {@code integration/clients} builds them. */
public enum Clients {
    /** containerd's own snapshot tests. */
    SNAPSHOTS("snapshots"),
    /** containerd's own tests of clients, tasks and shims. */
    TASKS("tasks"),
    /** A client of the container runtime interface, and one that drives runtimes hard. */
    CRI("cri"),
    /** Plug-ins that make containers' networks. */
    CNI("cni"),
    NERDCTL("nerdctl"),
    /** containerd's client and server of ttrpc. */
    TTRPC("ttrpc"),
    /** Measures runtimes. */
    SHIMS("shims");

    private final String name;

    Clients(String name) {
        this.name = name;
    }

    /**
     * The programs, in {@code /opt/NAME} of a host; builds them if this machine never did.
     *
     * @throws HostException if they cannot be built here; the message says why
     */
    public TestHost.Bind bind(Repository repository) {
        try {
            Process process = new ProcessBuilder(repository.script("clients").toString(), name)
                    .redirectError(ProcessBuilder.Redirect.INHERIT)
                    .start();
            String directory = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
            if (process.waitFor() != 0) {
                throw new HostException(name + " could not be built; the reason stands above");
            }
            return new TestHost.Bind(Path.of(directory), "/opt/" + name);
        } catch (IOException e) {
            throw new HostException("cannot run integration/clients: " + e.getMessage(), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new HostException("interrupted while " + name + " was built", e);
        }
    }
}
