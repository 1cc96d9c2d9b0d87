package dev.coldstart.shim.task;

import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import java.io.IOException;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

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
        String text = new String(Files.readAllBytes(config), StandardCharsets.UTF_8);
        try (JsonReader json = new JsonReader(new StringReader(text))) {
            json.setStrictness(Strictness.STRICT);
            json.beginObject();
            while (json.hasNext()) {
                String name = json.nextName();
                boolean object = json.peek() == JsonToken.BEGIN_OBJECT;
                if (object && name.equals("annotations")) {
                    strings(json, annotations);
                } else if (object && name.equals("linux")) {
                    linux(json, cgroupsPath, made, joined);
                } else {
                    json.skipValue();
                }
            }
            json.endObject();
        } catch (IOException | IllegalStateException e) {
            throw new IOException(config + " is not an OCI runtime spec: " + e.getMessage(), e);
        }
        return new Spec(Map.copyOf(annotations), cgroupsPath.toString(), Set.copyOf(made), Map.copyOf(joined));
    }

    private static void strings(JsonReader json, Map<String, String> into) throws IOException {
        json.beginObject();
        while (json.hasNext()) {
            String name = json.nextName();
            if (json.peek() == JsonToken.STRING) {
                into.put(name, json.nextString());
            } else {
                json.skipValue();
            }
        }
        json.endObject();
    }

    private static void linux(JsonReader json, StringBuilder cgroupsPath, Set<String> made, Map<String, String> joined)
            throws IOException {
        json.beginObject();
        while (json.hasNext()) {
            String name = json.nextName();
            JsonToken value = json.peek();
            if (name.equals("cgroupsPath") && value == JsonToken.STRING) {
                cgroupsPath.append(json.nextString());
            } else if (name.equals("namespaces") && value == JsonToken.BEGIN_ARRAY) {
                json.beginArray();
                while (json.hasNext()) {
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
                json.endArray();
            } else {
                json.skipValue();
            }
        }
        json.endObject();
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
