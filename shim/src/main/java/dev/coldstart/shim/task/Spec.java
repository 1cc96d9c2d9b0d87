package dev.coldstart.shim.task;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.ObjectReadContext;
import tools.jackson.core.json.JsonFactory;

/**
 * What the shim itself needs to know of a bundle's config.json (OCI runtime spec 1.0 to 1.2).
 *
 * @param cgroupsPath empty if not set
 * @param privateNamespaces types of the namespaces that the runtime makes anew for the container, such as {@code pid}
 * @param sharedNamespaces types and paths of the namespaces that it joins
 */
record Spec(
        Map<String, String> annotations,
        String cgroupsPath,
        Set<String> privateNamespaces,
        Map<String, String> sharedNamespaces) {

    static Spec read(Path config) throws IOException {
        Map<String, String> annotations = new HashMap<>();
        StringBuilder cgroupsPath = new StringBuilder();
        Set<String> made = new HashSet<>();
        Map<String, String> joined = new HashMap<>();
        // In memory first: the file is small, and the parser's own exceptions then only mean malformed JSON.
        byte[] bytes = Files.readAllBytes(config);
        try (JsonParser json = new JsonFactory().createParser(ObjectReadContext.empty(), bytes)) {
            if (json.nextToken() != JsonToken.START_OBJECT) {
                throw new IOException(config + " is not an OCI runtime spec");
            }
            while (json.nextToken() == JsonToken.PROPERTY_NAME) {
                String name = json.currentName();
                boolean object = json.nextToken() == JsonToken.START_OBJECT;
                if (object && name.equals("annotations")) {
                    strings(json, annotations);
                } else if (object && name.equals("linux")) {
                    linux(json, cgroupsPath, made, joined);
                } else {
                    json.skipChildren();
                }
            }
        } catch (JacksonException e) {
            throw new IOException(config + " is not an OCI runtime spec: " + e.getOriginalMessage(), e);
        }
        return new Spec(Map.copyOf(annotations), cgroupsPath.toString(), Set.copyOf(made), Map.copyOf(joined));
    }

    private static void strings(JsonParser json, Map<String, String> into) {
        while (json.nextToken() == JsonToken.PROPERTY_NAME) {
            String name = json.currentName();
            if (json.nextToken() == JsonToken.VALUE_STRING) {
                into.put(name, json.getString());
            } else {
                json.skipChildren();
            }
        }
    }

    private static void linux(
            JsonParser json, StringBuilder cgroupsPath, Set<String> made, Map<String, String> joined) {
        while (json.nextToken() == JsonToken.PROPERTY_NAME) {
            String name = json.currentName();
            JsonToken value = json.nextToken();
            if (name.equals("cgroupsPath") && value == JsonToken.VALUE_STRING) {
                cgroupsPath.append(json.getString());
            } else if (name.equals("namespaces") && value == JsonToken.START_ARRAY) {
                while (json.nextToken() == JsonToken.START_OBJECT) {
                    Map<String, String> namespace = new HashMap<>();
                    strings(json, namespace);
                    String type = namespace.getOrDefault("type", "");
                    String path = namespace.getOrDefault("path", "");
                    if (path.isEmpty()) {
                        made.add(type);
                    } else {
                        joined.put(type, path);
                    }
                }
            } else {
                json.skipChildren();
            }
        }
    }

    /** Whether all processes of the container die with its first one, by the kernel's doing. */
    boolean privatePids() {
        return privateNamespaces.contains("pid");
    }

    /**
     * Clients say by the form {@code slice:prefix:name} that systemd manages the groups; they pass no option for it to
     * runtimes they do not know.
     */
    boolean systemdCgroup() {
        return cgroupsPath.matches("[^/:]*:[^/:]+:[^/:]+");
    }

    Optional<String> annotation(String name) {
        return Optional.ofNullable(annotations.get(name));
    }
}
