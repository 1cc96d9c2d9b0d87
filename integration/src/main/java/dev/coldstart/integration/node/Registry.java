package dev.coldstart.integration.node;

import dev.coldstart.integration.host.HostException;
import dev.coldstart.integration.host.Repository;
import dev.coldstart.integration.host.Suite;
import dev.coldstart.integration.host.TestHost;
import java.io.IOException;
import java.time.Duration;
import java.util.List;

/** A registry in a test host of its own, with TLS and a certificate authority of its own. */
public final class Registry implements AutoCloseable {
    private static final String CONFIG = "/etc/registry.yml";

    private final Repository repository;
    private final TestHost host;
    private final String authority;
    private int pid;

    private Registry(Repository repository, TestHost host) {
        this.repository = repository;
        this.host = host;
        this.authority = host.script(TestHost.SOON, """
                set -e
                openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj "/CN=$1" \\
                    -addext "subjectAltName=DNS:$1,DNS:localhost" -keyout /etc/registry.key -out /etc/registry.crt 2>/dev/null
                cat /etc/registry.crt
                """, host.name());
        host.write(CONFIG, """
                version: 0.1
                log: {level: error, accesslog: {disabled: true}}
                storage: {filesystem: {rootdirectory: /var/lib/docker-registry}}
                http: {addr: ":5000", tls: {certificate: /etc/registry.crt, key: /etc/registry.key}}
                """);
    }

    public static Registry start(Repository repository, String name) {
        TestHost host = TestHost.create(repository, name, Suite.TRIXIE, List.of());
        try {
            Registry registry = new Registry(repository, host);
            registry.up();
            return registry;
        } catch (RuntimeException e) {
            host.close();
            throw e;
        }
    }

    public TestHost host() {
        return host;
    }

    /** HOST:PORT, as images are named. */
    public String address() {
        return host.name() + ":5000";
    }

    /** The certificate that a client must trust, in PEM. */
    public String authority() {
        return authority;
    }

    /** Starts the server, also after {@link #down}. */
    public void up() {
        pid = host.spawn("/var/log/registry.log", "docker-registry", "serve", CONFIG);
        host.await(
                "the registry",
                Duration.ofSeconds(20),
                () -> host.run(TestHost.SOON, "curl", "-fsSk", "-o", "/dev/null", "https://localhost:5000/v2/")
                        .succeeded());
    }

    /** Ends the server; what it stores stays. */
    public void down() {
        host.kill(pid);
    }

    /** Reads every stored byte, so that a registry's disk is no part of what is measured. */
    public void warm() {
        host.script(Duration.ofMinutes(2), "find /var/lib/docker-registry -type f -exec cat {} + >/dev/null");
    }

    /**
     * Builds the model server's image, once per machine, and pushes it.
     *
     * @return its name, for containerd
     */
    public String pushModelServer() {
        String image = "model-server";
        Process process;
        try {
            process = new ProcessBuilder(repository.script("image").toString(), "push", host.name(), image)
                    .inheritIO()
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start();
            if (process.waitFor() != 0) {
                throw new HostException("could not push the model server's image; the reason stands above");
            }
        } catch (IOException e) {
            throw new HostException("cannot run integration/image: " + e.getMessage(), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new HostException("interrupted while the image was pushed", e);
        }
        return address() + "/" + image + ":latest";
    }

    @Override
    public void close() {
        host.close();
    }
}
