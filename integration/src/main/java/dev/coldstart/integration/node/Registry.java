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

    /** What scripts begin with whose first arguments are the registry and a repository: functions that push. */
    private static final String UPLOAD = """
            set -euo pipefail
            base=https://$1/v2/$2 oci=application/vnd.oci.image
            work=$(mktemp -d)
            put() {
                local at
                at=$(curl -fsS -X POST -D - -o /dev/null "$base/blobs/uploads/" | tr -d '\\r' | sed -n 's/^[Ll]ocation: //p')
                case $at in *\\?*) at="$at&digest=sha256:$1" ;; *) at="$at?digest=sha256:$1" ;; esac
                curl -fsS -X PUT -H "Content-Type: application/octet-stream" -T "$2" "$at"
            }
            sum() { sha256sum <"$1" | cut -d ' ' -f 1; }
            descriptor() { printf '"mediaType":"%s","digest":"sha256:%s","size":%s' "$1" "$(sum "$2")" "$(stat -c %s "$2")"; }
            # manifest FILE TAG CONFIG_TYPE CONFIG LAYER_TYPE LAYER [MORE_OF_THE_LAYER]
            manifest() {
                printf '{"schemaVersion":2,"mediaType":"%s.manifest.v1+json","config":{%s},"layers":[{%s%s}]}' $oci \\
                    "$(descriptor "$3" "$4")" "$(descriptor "$5" "$6")" "${7-}" >"$1"
                put "$(sum "$4")" "$4"
                put "$(sum "$6")" "$6"
                curl -fsS -X PUT -H "Content-Type: $oci.manifest.v1+json" --data-binary "@$1" "$base/manifests/$2"
            }
            config() {
                printf '{"architecture":"amd64","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$1" "$2"
            }
            """;

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
        from.script(Duration.ofMinutes(5), UPLOAD + """
                mkfifo "$work/tar"
                sha256sum <"$work/tar" >"$work/sum" &
                eval "$3" | tee "$work/tar" | gzip -n -1 >"$work/layer"
                wait
                config "$4" "$(cut -d ' ' -f 1 "$work/sum")" >"$work/config"
                manifest "$work/manifest" latest $oci.config.v1+json "$work/config" $oci.layer.v1.tar+gzip "$work/layer"
                rm -r "$work"
                """, address(), name, tar, config);
        return address() + "/" + name + ":latest";
    }

    /**
     * Pushes an image of one layer and, as soci does to a registry without an API for referrers, a SOCI index of it.
     *
     * @param layer gzip, in base64
     * @param table its zTOC, gzipped, in base64
     * @return the layer's digest in hexadecimal
     */
    public String pushWithSoci(TestHost from, String name, String layer, String table) {
        return from.script(Duration.ofMinutes(1), UPLOAD + """
                soci=application/vnd.amazon.soci.index.v1+json
                echo "$3" | base64 -d >"$work/layer"
                echo "$4" | base64 -d | gunzip >"$work/ztoc"
                config '{}' "$(gunzip <"$work/layer" | sha256sum | cut -d ' ' -f 1)" >"$work/config"
                manifest "$work/manifest" latest $oci.config.v1+json "$work/config" $oci.layer.v1.tar+gzip "$work/layer"
                printf '{}' >"$work/none"
                manifest "$work/index" soci $soci "$work/none" application/octet-stream "$work/ztoc" \\
                    ",\\"annotations\\":{\\"com.amazon.soci.image-layer-digest\\":\\"sha256:$(sum "$work/layer")\\"}"
                printf '{"schemaVersion":2,"mediaType":"%s.index.v1+json","manifests":[{%s,"artifactType":"%s"}]}' $oci \\
                    "$(descriptor $oci.manifest.v1+json "$work/index")" $soci >"$work/referrers"
                curl -fsS -X PUT -H "Content-Type: $oci.index.v1+json" --data-binary "@$work/referrers" \\
                    "$base/manifests/sha256-$(sum "$work/manifest")"
                sum "$work/layer"
                rm -r "$work"
                """, address(), name, layer, table)
                .strip();
    }

    @Override
    public void close() {
        host.close();
    }
}
