package dev.coldstart.snapshotter.registry;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.ObjectReadContext;
import tools.jackson.core.json.JsonFactory;

/** User names and passwords for registries, from docker's {@code config.json} ({@code auths}). */
public final class Credentials {
    private static final int MAX_BYTES = 1 << 20;

    private final Map<String, String> basic;

    private Credentials(Map<String, String> basic) {
        this.basic = basic;
    }

    /** Nobody's. */
    public static Credentials none() {
        return new Credentials(Map.of());
    }

    /** Those in a file; none if there is no such file. */
    public static Credentials read(Path config) throws IOException {
        if (!Files.exists(config)) {
            return none();
        }
        if (Files.size(config) > MAX_BYTES) {
            throw new IOException(config + " is too large for docker credentials");
        }
        Map<String, String> found = new HashMap<>();
        try (JsonParser json = new JsonFactory().createParser(ObjectReadContext.empty(), Files.readString(config))) {
            json.nextToken();
            while (json.nextToken() == JsonToken.PROPERTY_NAME) {
                String section = json.currentName();
                json.nextToken();
                if (!section.equals("auths") || json.currentToken() != JsonToken.START_OBJECT) {
                    json.skipChildren();
                    continue;
                }
                while (json.nextToken() == JsonToken.PROPERTY_NAME) {
                    String host = json.currentName();
                    json.nextToken();
                    readEntry(json, host, found);
                }
            }
        } catch (JacksonException e) {
            throw new IOException(config + " is not valid JSON: " + e.getOriginalMessage(), e);
        }
        return new Credentials(Map.copyOf(found));
    }

    private static void readEntry(JsonParser json, String host, Map<String, String> found) {
        if (json.currentToken() != JsonToken.START_OBJECT) {
            json.skipChildren();
            return;
        }
        String user = null;
        String password = null;
        while (json.nextToken() == JsonToken.PROPERTY_NAME) {
            String field = json.currentName();
            JsonToken value = json.nextToken();
            if (value != JsonToken.VALUE_STRING) {
                json.skipChildren();
            } else if (field.equals("auth") && !json.getString().isEmpty()) {
                found.put(host(host), json.getString());
            } else if (field.equals("username")) {
                user = json.getString();
            } else if (field.equals("password")) {
                password = json.getString();
            }
        }
        if (user != null && password != null) {
            found.putIfAbsent(
                    host(host),
                    Base64.getEncoder().encodeToString((user + ":" + password).getBytes(StandardCharsets.UTF_8)));
        }
    }

    /** docker writes hosts as {@code https://index.docker.io/v1/} too. */
    private static String host(String key) {
        String host = key.replaceFirst("^https?://", "").replaceFirst("/.*$", "");
        return host.equals("index.docker.io") ? "docker.io" : host;
    }

    /** What follows {@code Basic } in an Authorization header; null if there is nothing for this host. */
    @Nullable
    String basic(String host) {
        return basic.get(host);
    }
}
