package dev.coldstart.restore.key;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.stream.Collectors;

/**
 * A snapshot's key: what was running (its subject), and what must hold where it is restored (its conditions). Two
 * containers with one key may share a snapshot.
 */
public record SnapshotKey(List<Field> subject, List<Field> conditions) {
    /** Separates items in a field's value; a line break inside an item is written as \n. */
    private static final String SEPARATOR = "\n";

    private static final int SHOWN_ITEMS = 5;
    private static final int SHOWN_CHARS = 80;

    /**
     * A fact.
     *
     * @param name what it is of, in words
     * @param value text; a set's items stand in lines
     */
    public record Field(String name, String value) {}

    /** How a condition of the snapshot is compared with the same of a container that is to start. */
    private enum Rule {
        EQUAL,
        SAME_SET,
        /** What the snapshot has must be there; more does not hurt. */
        SUBSET
    }

    private static final Map<String, Rule> RULES = Map.of(
            "mounts", Rule.SAME_SET,
            "namespaces", Rule.SAME_SET,
            "capabilities", Rule.SAME_SET,
            "resource limits", Rule.SAME_SET,
            "CPU features", Rule.SUBSET);

    public SnapshotKey {
        subject = List.copyOf(subject);
        conditions = List.copyOf(conditions);
    }

    /**
     * The key of a container from its live spec.
     *
     * @param layerDigests digests of the layers of its root file system, topmost first
     */
    public static SnapshotKey of(ContainerSpec spec, List<String> layerDigests, Host host) {
        return new SnapshotKey(
                List.of(
                        new Field("layers", lines(layerDigests)),
                        new Field("args", lines(spec.args())),
                        // A variable's value is often a secret, and a manifest is shown to people.
                        new Field("environment", environment(spec.environment())),
                        new Field("working directory", spec.cwd()),
                        new Field("user", spec.user()),
                        new Field("terminal", Boolean.toString(spec.terminal()))),
                List.of(
                        new Field("architecture", host.architecture()),
                        new Field("CRIU", host.criu()),
                        new Field("kernel", host.kernel()),
                        new Field("OCI runtime", host.runtime()),
                        new Field("cgroups", host.cgroups()),
                        new Field("CPU features", lines(host.cpuFeatures())),
                        new Field("mounts", lines(spec.mounts())),
                        new Field("namespaces", lines(spec.namespaces())),
                        new Field("capabilities", lines(spec.capabilities())),
                        new Field("no_new_privs", Boolean.toString(spec.noNewPrivileges())),
                        new Field("resource limits", lines(spec.limits())),
                        new Field("seccomp filter", spec.seccomp()),
                        new Field("security profile", spec.security()),
                        new Field("read-only root", Boolean.toString(spec.readonlyRoot()))));
    }

    private static String lines(Collection<String> items) {
        return items.stream()
                .map(item -> item.replace("\\", "\\\\").replace(SEPARATOR, "\\n"))
                .collect(Collectors.joining(SEPARATOR));
    }

    private static String environment(List<String> variables) {
        StringBuilder names = new StringBuilder();
        StringBuilder all = new StringBuilder();
        for (String variable : variables) {
            int equals = variable.indexOf('=');
            names.append(equals < 0 ? variable : variable.substring(0, equals)).append(SEPARATOR);
            all.append(variable.length()).append(':').append(variable);
        }
        return names + "sha256:" + ContainerSpec.sha256(all.toString());
    }

    /** The snapshot's id: lower-case hex SHA-256 of the subject. */
    public String id() {
        StringBuilder text = new StringBuilder();
        for (Field field : subject) {
            text.append(field.name().length()).append(':').append(field.name());
            text.append(field.value().length()).append(':').append(field.value());
        }
        return ContainerSpec.sha256(text.toString());
    }

    /** Why a snapshot with this key must not be restored where {@code live} holds: one sentence, or empty. */
    public Optional<String> mismatch(SnapshotKey live) {
        Map<String, String> stored = new HashMap<>();
        for (Field field : conditions) {
            stored.put(field.name(), field.value());
        }
        for (Field field : live.conditions) {
            String value = stored.remove(field.name());
            if (value == null) {
                return Optional.of(
                        "The snapshot says nothing about " + field.name() + ", which coldstart compares now.");
            }
            if (value.equals(field.value())) {
                continue;
            }
            Optional<String> reason = switch (RULES.getOrDefault(field.name(), Rule.EQUAL)) {
                case EQUAL ->
                    Optional.of("The snapshot was taken with " + field.name() + " " + shown(value) + ", here it is "
                            + shown(field.value()) + ".");
                case SAME_SET -> difference(field.name(), items(value), items(field.value()), true);
                case SUBSET -> difference(field.name(), items(value), items(field.value()), false);
            };
            if (reason.isPresent()) {
                return reason;
            }
        }
        return stored.isEmpty()
                ? Optional.empty()
                : Optional.of("The snapshot depends on " + String.join(", ", new TreeSet<>(stored.keySet()))
                        + ", which this coldstart does not know.");
    }

    private static Optional<String> difference(
            String name, SortedSet<String> stored, SortedSet<String> live, boolean bothWays) {
        SortedSet<String> missing = new TreeSet<>(stored);
        missing.removeAll(live);
        SortedSet<String> added = new TreeSet<>(live);
        added.removeAll(stored);
        List<String> parts = new ArrayList<>();
        if (!missing.isEmpty()) {
            parts.add("without " + some(missing));
        }
        if (bothWays && !added.isEmpty()) {
            parts.add("with " + some(added) + " more");
        }
        return parts.isEmpty()
                ? Optional.empty()
                : Optional.of("The snapshot was taken with other " + name + ": here they are "
                        + String.join(" and ", parts) + ".");
    }

    private static String some(SortedSet<String> items) {
        List<String> shown =
                items.stream().limit(SHOWN_ITEMS).map(SnapshotKey::shown).toList();
        int rest = items.size() - shown.size();
        return String.join(", ", shown) + (rest > 0 ? " and " + rest + " others" : "");
    }

    private static String shown(String value) {
        if (value.isEmpty()) {
            return "none";
        }
        StringBuilder result = new StringBuilder();
        for (int at = 0; at < value.length() && at < SHOWN_CHARS; at++) {
            char c = value.charAt(at);
            result.append(Character.isISOControl(c) ? ' ' : c);
        }
        return result + (value.length() > SHOWN_CHARS ? "…" : "");
    }

    private static SortedSet<String> items(String value) {
        return value.isEmpty() ? new TreeSet<>() : new TreeSet<>(List.of(value.split(SEPARATOR)));
    }
}
