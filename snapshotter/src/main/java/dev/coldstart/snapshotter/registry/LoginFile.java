package dev.coldstart.snapshotter.registry;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.ObjectReadContext;
import tools.jackson.core.json.JsonFactory;

/**
 * Logins as docker's {@code config.json} and Kubernetes' {@code .dockerconfigjson} keep them, or the older {@code
 * .dockercfg}, which is the object {@code auths} alone.
 *
 * @param entries the most special first
 * @param helpers names of helper programs by host
 * @param store name of the helper program for all other hosts; null for none
 */
record LoginFile(
        List<Entry> entries,
        Map<String, String> helpers,
        @Nullable String store) {
    static final LoginFile EMPTY = new LoginFile(List.of(), Map.of(), null);

    private static final int MAX_BYTES = 1 << 20;

    LoginFile {
        entries = List.copyOf(entries);
        helpers = Map.copyOf(helpers);
    }

    /**
     * A login.
     *
     * @param host HOST[:PORT], in which {@code *} stands for any part of a name between two dots
     * @param path that the repository must begin with, in whole names; empty for all
     */
    record Entry(String host, String path, Credential credential) {
        boolean fits(String askedHost, String repository) {
            return sameHost(host, askedHost)
                    && (path.isEmpty() || repository.equals(path) || repository.startsWith(path + "/"));
        }
    }

    /**
     * Reads a file.
     *
     * @throws IOException with one clear sentence that quotes nothing of the file
     */
    static LoginFile read(Path file) throws IOException {
        if (Files.size(file) > MAX_BYTES) {
            throw new IOException(file + " is too large for credentials");
        }
        return parse(file, Files.readAllBytes(file));
    }

    static LoginFile parse(Path file, byte[] bytes) throws IOException {
        List<Entry> entries = new ArrayList<>();
        List<Entry> old = new ArrayList<>();
        Map<String, String> helpers = new HashMap<>();
        String store = null;
        boolean modern = false;
        try (JsonParser json = new JsonFactory().createParser(ObjectReadContext.empty(), bytes)) {
            if (json.nextToken() != JsonToken.START_OBJECT) {
                throw new IOException(file + " is not an object in JSON");
            }
            while (json.nextToken() == JsonToken.PROPERTY_NAME) {
                String section = json.currentName();
                JsonToken value = json.nextToken();
                if (section.equals("auths") && value == JsonToken.START_OBJECT) {
                    modern = true;
                    while (json.nextToken() == JsonToken.PROPERTY_NAME) {
                        String key = json.currentName();
                        json.nextToken();
                        addEntry(json, key, entries);
                    }
                } else if (section.equals("credHelpers") && value == JsonToken.START_OBJECT) {
                    modern = true;
                    while (json.nextToken() == JsonToken.PROPERTY_NAME) {
                        String host = host(json.currentName());
                        if (json.nextToken() == JsonToken.VALUE_STRING) {
                            helpers.put(host, json.getString());
                        } else {
                            json.skipChildren();
                        }
                    }
                } else if (section.equals("credsStore") && value == JsonToken.VALUE_STRING) {
                    modern = true;
                    store = json.getString().isEmpty() ? null : json.getString();
                } else {
                    addEntry(json, section, old);
                }
            }
        } catch (JacksonException e) {
            // Its message quotes what it stumbled over, which may be a password.
            throw new IOException(
                    file + " is not valid JSON near line " + e.getLocation().getLineNr());
        }
        List<Entry> all = modern ? entries : old;
        all.sort(Comparator.comparingInt((Entry entry) -> entry.path().length())
                .thenComparing(entry -> !entry.host().contains("*"))
                .reversed());
        return new LoginFile(all, helpers, store);
    }

    /** Logins for a repository, the most special first. */
    List<Credential> find(String host, String repository) {
        return entries.stream()
                .filter(entry -> entry.fits(host, repository))
                .map(Entry::credential)
                .toList();
    }

    private static void addEntry(JsonParser json, String key, List<Entry> into) {
        if (json.currentToken() != JsonToken.START_OBJECT) {
            json.skipChildren();
            return;
        }
        Map<String, String> fields = new HashMap<>();
        while (json.nextToken() == JsonToken.PROPERTY_NAME) {
            String field = json.currentName().toLowerCase(Locale.ROOT);
            if (json.nextToken() == JsonToken.VALUE_STRING) {
                fields.put(field, json.getString());
            } else {
                json.skipChildren();
            }
        }
        Credential credential = Credential.of(
                fields.getOrDefault("username", ""),
                fields.getOrDefault("password", ""),
                fields.getOrDefault("auth", ""),
                fields.getOrDefault("identitytoken", ""),
                fields.getOrDefault("registrytoken", ""));
        if (credential != null) {
            into.add(new Entry(host(key), path(key), credential));
        }
    }

    /** docker writes hosts as {@code https://index.docker.io/v1/} too. */
    static String host(String key) {
        String host = withoutScheme(key).replaceFirst("/.*$", "").toLowerCase(Locale.ROOT);
        return host.equals("index.docker.io") || host.equals("registry-1.docker.io") ? "docker.io" : host;
    }

    private static String path(String key) {
        String rest = withoutScheme(key);
        int slash = rest.indexOf('/');
        String path = slash < 0 ? "" : rest.substring(slash + 1).replaceFirst("/+$", "");
        return path.matches("v[12]") ? "" : path;
    }

    private static String withoutScheme(String key) {
        return key.replaceFirst("^https?://", "");
    }

    /** As the kubelet compares: part by part between the dots, the port as it is. */
    private static boolean sameHost(String pattern, String host) {
        if (!pattern.contains("*")) {
            return pattern.equalsIgnoreCase(host);
        }
        String[] wanted = pattern.split("\\.", -1);
        String[] parts = host.toLowerCase(Locale.ROOT).split("\\.", -1);
        if (wanted.length != parts.length) {
            return false;
        }
        for (int i = 0; i < parts.length; i++) {
            if (!matches(wanted[i], parts[i])) {
                return false;
            }
        }
        return true;
    }

    /** {@code *} is any number of characters. */
    private static boolean matches(String pattern, String text) {
        int p = 0;
        int star = -1;
        int mark = 0;
        int t = 0;
        while (t < text.length()) {
            if (p < pattern.length() && pattern.charAt(p) == '*') {
                star = p++;
                mark = t;
            } else if (p < pattern.length() && pattern.charAt(p) == text.charAt(t)) {
                p++;
                t++;
            } else if (star >= 0) {
                p = star + 1;
                t = ++mark;
            } else {
                return false;
            }
        }
        while (p < pattern.length() && pattern.charAt(p) == '*') {
            p++;
        }
        return p == pattern.length();
    }
}
