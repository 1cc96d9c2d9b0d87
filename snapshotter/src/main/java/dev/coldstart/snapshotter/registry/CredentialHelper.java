package dev.coldstart.snapshotter.registry;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.ObjectReadContext;
import tools.jackson.core.json.JsonFactory;

/**
 * A program {@code docker-credential-NAME} (docker/docker-credential-helpers): {@code get}, the server on its standard
 * input, JSON with {@code Username} and {@code Secret} on its standard output.
 */
final class CredentialHelper {
    private static final System.Logger LOG = System.getLogger(CredentialHelper.class.getName());
    private static final Duration PATIENCE = Duration.ofSeconds(10);
    private static final int MAX_ANSWER = 1 << 16;
    /** The user's name that says that the secret is an identity token. */
    private static final String TOKEN = "<token>";

    private final String name;
    private final List<String> program;
    private final Duration patience;

    CredentialHelper(String name) {
        this(name, List.of("docker-credential-" + name), PATIENCE);
    }

    /** @param program what is executed, with {@code get} as its last argument */
    CredentialHelper(String name, List<String> program, Duration patience) {
        this.name = name;
        this.program = List.copyOf(program);
        this.patience = patience;
    }

    /** What it has for a host; null if nothing, or if it does not work. */
    @Nullable
    Credential get(String host) {
        if (!name.matches("[A-Za-z0-9][A-Za-z0-9._-]*")) {
            LOG.log(System.Logger.Level.WARNING, "a credential helper's name must not contain special characters");
            return null;
        }
        String server = host.equals("docker.io") ? "https://index.docker.io/v1/" : host;
        try {
            List<String> command = new java.util.ArrayList<>(program);
            command.add("get");
            Process process = new ProcessBuilder(command)
                    .redirectError(ProcessBuilder.Redirect.DISCARD)
                    .start();
            try {
                return answer(process, server, host);
            } finally {
                process.descendants().forEach(ProcessHandle::destroyForcibly);
                var _ = process.destroyForcibly();
            }
        } catch (IOException e) {
            LOG.log(System.Logger.Level.WARNING, "docker-credential-{0} cannot be used for {1}", name, host);
            return null;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return null;
        }
    }

    private @Nullable Credential answer(Process process, String server, String host)
            throws IOException, InterruptedException {
        CompletableFuture<byte[]> output = new CompletableFuture<>();
        InputStream stdout = process.getInputStream();
        Thread.ofVirtual().name("credential-helper").start(() -> {
            try {
                output.complete(stdout.readNBytes(MAX_ANSWER));
            } catch (IOException e) {
                output.completeExceptionally(e);
            }
        });
        try (OutputStream stdin = process.getOutputStream()) {
            stdin.write(server.getBytes(StandardCharsets.UTF_8));
        } catch (IOException e) {
            // It may have ended without reading; its status says how.
            LOG.log(System.Logger.Level.DEBUG, "docker-credential-{0} did not read", name);
        }
        long deadline = System.nanoTime() + patience.toNanos();
        if (!process.waitFor(patience.toNanos(), TimeUnit.NANOSECONDS)) {
            LOG.log(
                    System.Logger.Level.WARNING,
                    "docker-credential-{0} did not answer for {1} within {2} s",
                    name,
                    host,
                    patience.toSeconds());
            return null;
        }
        if (process.exitValue() != 0) {
            // Also how it says that it has nothing.
            LOG.log(
                    System.Logger.Level.DEBUG,
                    "docker-credential-{0} ended with status {1} for {2}",
                    name,
                    process.exitValue(),
                    host);
            return null;
        }
        try {
            return parse(output.get(Math.max(1, deadline - System.nanoTime()), TimeUnit.NANOSECONDS));
        } catch (JacksonException | ExecutionException | TimeoutException e) {
            LOG.log(System.Logger.Level.WARNING, "docker-credential-{0} gave no valid answer for {1}", name, host);
            return null;
        }
    }

    private static @Nullable Credential parse(byte[] answer) {
        Map<String, String> fields = new HashMap<>();
        try (JsonParser json = new JsonFactory().createParser(ObjectReadContext.empty(), answer)) {
            json.nextToken();
            while (json.nextToken() == JsonToken.PROPERTY_NAME) {
                String field = json.currentName();
                if (json.nextToken() == JsonToken.VALUE_STRING) {
                    fields.put(field, json.getString());
                } else {
                    json.skipChildren();
                }
            }
        }
        String user = fields.getOrDefault("Username", "");
        String secret = fields.getOrDefault("Secret", "");
        return user.equals(TOKEN) ? Credential.of("", "", "", secret, "") : Credential.of(user, secret, "", "", "");
    }
}
