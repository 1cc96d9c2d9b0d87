package dev.coldstart.restore.key;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.SortedSet;
import java.util.TreeSet;

/**
 * The parts of an OCI runtime spec ({@code config.json}) that a snapshot depends on. Sets are sorted, so that the order
 * in which a client writes them does not matter.
 *
 * @param environment {@code NAME=VALUE}, sorted, without what differs from container to container by design
 * @param user {@code uid:gid:umask:additional gids}
 * @param mounts {@code DESTINATION (TYPE)}; masked and read-only paths too, because they are mounts
 * @param namespaces {@code TYPE}, or {@code TYPE by path} for one that is joined; ID mappings of a user namespace
 * @param capabilities {@code SET:CAP_X}
 * @param limits {@code RLIMIT_X=soft:hard}
 * @param seccomp hex SHA-256 of the filter, empty without one
 * @param security AppArmor profile and SELinux label
 * @param hostname empty if it names none; a restored container gets its own, so it is not part of a key
 */
public record ContainerSpec(
        List<String> args,
        List<String> environment,
        String cwd,
        String user,
        boolean terminal,
        boolean readonlyRoot,
        SortedSet<String> mounts,
        SortedSet<String> namespaces,
        SortedSet<String> capabilities,
        boolean noNewPrivileges,
        SortedSet<String> limits,
        String seccomp,
        String security,
        String hostname) {
    /** containerd's specs have some 10 to 100 KiB. */
    private static final int MAX_BYTES = 4 << 20;

    /** The container's id, set by Docker, nerdctl and the CRI in each container. */
    private static final String HOSTNAME = "HOSTNAME=";

    /** Whether the container gets a namespace of a type (as {@code config.json} names it) that no other one has. */
    public boolean owns(String namespace) {
        return namespaces.contains(namespace);
    }

    public ContainerSpec {
        args = List.copyOf(args);
        environment = List.copyOf(environment);
    }

    /**
     * Reads a bundle's {@code config.json}.
     *
     * @throws IOException with one sentence if the file is unreadable, too large or not an OCI runtime spec
     */
    public static ContainerSpec read(Path config) throws IOException {
        byte[] document;
        try (InputStream in = Files.newInputStream(config)) {
            document = in.readNBytes(MAX_BYTES + 1);
        }
        if (document.length > MAX_BYTES) {
            throw new IOException("The runtime spec " + config + " is larger than " + MAX_BYTES + " bytes.");
        }
        try {
            return parse(document);
        } catch (IllegalArgumentException e) {
            throw new IOException("The runtime spec " + config + " cannot be read: " + e.getMessage() + ".", e);
        }
    }

    /**
     * Parses a runtime spec.
     *
     * @throws IllegalArgumentException if it is not JSON or has no process to run
     */
    static ContainerSpec parse(byte[] document) {
        Json spec = Json.parse(document);
        Json process = spec.at("process");
        Json linux = spec.at("linux");
        List<String> args = process.at("args").texts();
        if (args.isEmpty()) {
            throw new IllegalArgumentException("it names no process to run");
        }
        return new ContainerSpec(
                args,
                environment(process.at("env").texts()),
                process.at("cwd").text(),
                user(process.at("user")),
                flag(process.at("terminal")),
                flag(spec.at("root", "readonly")),
                mounts(spec, linux),
                namespaces(linux),
                capabilities(process.at("capabilities")),
                flag(process.at("noNewPrivileges")),
                limits(process.at("rlimits")),
                seccomp(linux),
                security(process),
                spec.at("hostname").text());
    }

    private static boolean flag(Json value) {
        return value.text().equals("true");
    }

    private static List<String> environment(List<String> variables) {
        return variables.stream()
                .filter(variable -> !variable.startsWith(HOSTNAME))
                .sorted()
                .toList();
    }

    private static String user(Json user) {
        return String.join(
                ":",
                number(user.at("uid")),
                number(user.at("gid")),
                user.at("umask").text(),
                String.join(
                        ",", user.at("additionalGids").texts().stream().sorted().toList()));
    }

    private static String number(Json value) {
        return value.text().isEmpty() ? "0" : value.text();
    }

    private static SortedSet<String> mounts(Json spec, Json linux) {
        SortedSet<String> result = new TreeSet<>();
        for (Json mount : spec.at("mounts").items()) {
            List<String> options = mount.at("options").texts();
            boolean bind = options.contains("bind") || options.contains("rbind");
            result.add(mount.at("destination").text() + " ("
                    + (bind ? "bind" : mount.at("type").text()) + ")");
        }
        for (String path : linux.at("maskedPaths").texts()) {
            result.add(path + " (masked)");
        }
        for (String path : linux.at("readonlyPaths").texts()) {
            result.add(path + " (read-only)");
        }
        return result;
    }

    private static SortedSet<String> namespaces(Json linux) {
        SortedSet<String> result = new TreeSet<>();
        for (Json namespace : linux.at("namespaces").items()) {
            result.add(
                    namespace.at("type").text() + (namespace.at("path").text().isEmpty() ? "" : " by path"));
        }
        for (String kind : List.of("uidMappings", "gidMappings")) {
            for (Json mapping : linux.at(kind).items()) {
                result.add(kind + " "
                        + String.join(
                                ":",
                                number(mapping.at("containerID")),
                                number(mapping.at("hostID")),
                                number(mapping.at("size"))));
            }
        }
        return result;
    }

    private static SortedSet<String> capabilities(Json capabilities) {
        SortedSet<String> result = new TreeSet<>();
        for (String set : List.of("bounding", "effective", "inheritable", "permitted", "ambient")) {
            for (String capability : capabilities.at(set).texts()) {
                result.add(set + ":" + capability);
            }
        }
        return result;
    }

    private static SortedSet<String> limits(Json limits) {
        SortedSet<String> result = new TreeSet<>();
        for (Json limit : limits.items()) {
            result.add(limit.at("type").text() + "=" + number(limit.at("soft")) + ":" + number(limit.at("hard")));
        }
        return result;
    }

    private static String seccomp(Json linux) {
        Json seccomp = linux.get("seccomp");
        if (seccomp == null || seccomp instanceof Json.Word) {
            return "";
        }
        StringBuilder canonical = new StringBuilder();
        seccomp.canonical(canonical);
        return sha256(canonical.toString());
    }

    private static String security(Json process) {
        List<String> result = new ArrayList<>();
        String profile = process.at("apparmorProfile").text();
        if (!profile.isEmpty()) {
            result.add("apparmor:" + profile);
        }
        String label = process.at("selinuxLabel").text();
        if (!label.isEmpty()) {
            result.add("selinux:" + label);
        }
        return String.join(" ", result);
    }

    /** Lower-case hex SHA-256 of a text's UTF-8 bytes. */
    static String sha256(String text) {
        try {
            return HexFormat.of()
                    .formatHex(MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8)));
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every Java has SHA-256", e);
        }
    }
}
