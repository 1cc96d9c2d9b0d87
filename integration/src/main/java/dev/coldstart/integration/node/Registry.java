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

    /** Pid of the server, in the host. */
    public int pid() {
        return pid;
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
        return pushImage("model-server");
    }

    /**
     * Builds an image, once per machine, and pushes it.
     *
     * @param image as {@code integration/image} knows it
     * @return its name, for containerd
     */
    public String pushImage(String image) {
        Process process;
        try {
            process = new ProcessBuilder(repository.script("image").toString(), "push", host.name(), image, image)
                    .inheritIO()
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start();
            if (process.waitFor() != 0) {
                throw new HostException("could not push the image " + image + "; the reason stands above");
            }
        } catch (IOException e) {
            throw new HostException("cannot run integration/image: " + e.getMessage(), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new HostException("interrupted while the image was pushed", e);
        }
        return address() + "/" + image + ":latest";
    }

    /**
     * Pushes an image of one layer.
     *
     * @param from a host that is linked to this one and trusts it
     * @param name of its repository
     * @param tar a command of that host that prints the layer
     * @return the image's name, for containerd
     */
    public String push(TestHost from, String name, String tar) {
        return push(from, name, tar, "{}");
    }

    /**
     * Pushes an image of one layer.
     *
     * @param config what the image's configuration says of its containers, in JSON
     */
    public String push(TestHost from, String name, String tar, String config) {
        from.script(Duration.ofMinutes(5), """
                set -euo pipefail
                base=https://$1/v2/$2
                work=$(mktemp -d)
                put() {
                    local at
                    at=$(curl -fsS -X POST -D - -o /dev/null "$base/blobs/uploads/" | tr -d '\\r' | sed -n 's/^[Ll]ocation: //p')
                    case $at in *\\?*) at="$at&digest=sha256:$1" ;; *) at="$at?digest=sha256:$1" ;; esac
                    curl -fsS -X PUT -H "Content-Type: application/octet-stream" -T "$2" "$at"
                }
                sum() { sha256sum <"$1" | cut -d ' ' -f 1; }
                mkfifo "$work/tar"
                sha256sum <"$work/tar" >"$work/sum" &
                eval "$3" | tee "$work/tar" | gzip -n -1 >"$work/layer"
                wait
                printf '{"architecture":"amd64","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$4" \\
                    "$(cut -d ' ' -f 1 "$work/sum")" >"$work/config"
                printf '{"schemaVersion":2,"mediaType":"%s.manifest.v1+json","config":{"mediaType":"%s.config.v1+json","digest":"sha256:%s","size":%s},"layers":[{"mediaType":"%s.layer.v1.tar+gzip","digest":"sha256:%s","size":%s}]}' \\
                    application/vnd.oci.image application/vnd.oci.image "$(sum "$work/config")" "$(stat -c %s "$work/config")" \\
                    application/vnd.oci.image "$(sum "$work/layer")" "$(stat -c %s "$work/layer")" >"$work/manifest"
                put "$(sum "$work/config")" "$work/config"
                put "$(sum "$work/layer")" "$work/layer"
                curl -fsS -X PUT -H "Content-Type: application/vnd.oci.image.manifest.v1+json" \\
                    --data-binary "@$work/manifest" "$base/manifests/latest"
                rm -r "$work"
                """, address(), name, tar, config);
        return address() + "/" + name + ":latest";
    }

    @Override
    public void close() {
        host.close();
    }
}
