package dev.coldstart.snapshotter.service;

import dev.coldstart.proto.containerd.services.introspection.Plugin;
import dev.coldstart.proto.v1.Finding;
import dev.coldstart.proto.v1.Severity;
import dev.coldstart.snapshotter.content.Containerd;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import org.tomlj.Toml;
import org.tomlj.TomlArray;
import org.tomlj.TomlParseResult;
import org.tomlj.TomlTable;

/**
 * Looks whether containerd uses this snapshotter. Its configuration is what {@code containerd config dump} prints, imports
 * and defaults included.
 */
final class ContainerdDoctor {
    private static final String SUBJECT = "containerd";
    private static final String SNAPSHOTTER = "io.containerd.snapshotter.v1";
    private static final String CONFIGURATION = "containerd's configuration";
    private static final String ADD = "run 'coldstart-containerd add' and restart containerd";
    private static final String TRANSFER = "io.containerd.transfer.v1.local";
    private static final String CRI_1 = "io.containerd.grpc.v1.cri";
    private static final String CRI_2 = "io.containerd.cri.v1.runtime";
    private static final String IMAGES_2 = "io.containerd.cri.v1.images";
    private static final long DUMP_SECONDS = 10;

    private final Containerd containerd;
    private final Path socket;
    private final Path root;

    /**
     * Looks for this snapshotter.
     *
     * @param socket where it serves containerd
     * @param root what it keeps on disk
     */
    ContainerdDoctor(Containerd containerd, Path socket, Path root) {
        this.containerd = containerd;
        this.socket = socket;
        this.root = root;
    }

    List<Finding> look() {
        List<Plugin> loaded;
        TomlParseResult configuration;
        try {
            containerd.check();
            loaded = containerd.plugins();
        } catch (IOException e) {
            return List.of(Doctor.finding(
                    SUBJECT,
                    Severity.SEVERITY_PROBLEM,
                    "images are unpacked by containerd and not served lazily: " + e.getMessage()));
        }
        List<Finding> findings = new ArrayList<>();
        findings.add(Doctor.finding(SUBJECT, Severity.SEVERITY_FINE, "answers"));
        try {
            configuration = dump();
        } catch (IOException e) {
            findings.add(
                    Doctor.finding(CONFIGURATION, Severity.SEVERITY_WARNING, "cannot be looked at: " + e.getMessage()));
            return findings;
        }
        look(configuration, loaded, findings);
        return findings;
    }

    /** Looks at what containerd is told and at what it has loaded. */
    void look(TomlParseResult configuration, List<Plugin> loaded, List<Finding> findings) {
        String name = name(configuration);
        if (name == null) {
            findings.add(Doctor.finding(
                    CONFIGURATION,
                    Severity.SEVERITY_PROBLEM,
                    "it names no snapshotter that listens on " + socket + ", so that nobody calls this one; " + ADD));
            return;
        }
        findings.add(registered(name, loaded));
        TomlTable plugins = table(configuration, "plugins");
        findings.add(unpacking(name, table(plugins, TRANSFER)));
        findings.add(exports(name, configuration));
        findings.add(pods(name, configuration, plugins, loaded));
    }

    private @Nullable String name(TomlParseResult configuration) {
        TomlTable proxies = table(configuration, "proxy_plugins");
        if (proxies == null) {
            return null;
        }
        for (String name : proxies.keySet()) {
            TomlTable proxy = table(proxies, name);
            String address = proxy == null ? null : string(proxy, "address");
            if (proxy != null
                    && address != null
                    && "snapshot".equals(string(proxy, "type"))
                    && socket.equals(Path.of(address.replaceFirst("^unix://", "")))) {
                return name;
            }
        }
        return null;
    }

    private static Finding registered(String name, List<Plugin> loaded) {
        for (Plugin plugin : loaded) {
            if (plugin.getType().equals(SNAPSHOTTER) && plugin.getId().equals(name)) {
                return plugin.hasInitErr()
                        ? Doctor.finding(
                                CONFIGURATION,
                                Severity.SEVERITY_PROBLEM,
                                "containerd could not load the snapshotter \"" + name + "\": "
                                        + plugin.getInitErr().getMessage())
                        : Doctor.finding(
                                CONFIGURATION,
                                Severity.SEVERITY_FINE,
                                "this snapshotter is its \"" + name + "\", and is loaded");
            }
        }
        return Doctor.finding(
                CONFIGURATION,
                Severity.SEVERITY_PROBLEM,
                "it names the snapshotter \"" + name
                        + "\", and containerd has not loaded it; restart containerd, which still runs with what it read at its start");
    }

    private static Finding unpacking(String name, @Nullable TomlTable transfer) {
        if (transfer == null) {
            return Doctor.finding(
                    "transfer service",
                    Severity.SEVERITY_FINE,
                    "there is none, as in containerd 1.6; images come lazily by nerdctl and by the CRI");
        }
        TomlArray unpack = transfer.get(List.of("unpack_config")) instanceof TomlArray array ? array : null;
        for (int i = 0; unpack != null && i < unpack.size(); i++) {
            if (unpack.get(i) instanceof TomlTable entry && name.equals(string(entry, "snapshotter"))) {
                return Doctor.finding("transfer service", Severity.SEVERITY_FINE, "unpacks for \"" + name + "\"");
            }
        }
        return Doctor.finding(
                "transfer service",
                Severity.SEVERITY_WARNING,
                "its unpack_config has no entry for \"" + name
                        + "\", so that pulls by ctr, by nerdctl 2.3 and by the CRI of containerd 2.1 and later fail for it; "
                        + ADD);
    }

    private Finding exports(String name, TomlParseResult configuration) {
        TomlTable proxy = table(table(configuration, "proxy_plugins"), name);
        TomlTable exports = table(proxy, "exports");
        String exported = exports == null ? null : string(exports, "root");
        if (exported == null) {
            return Doctor.finding(
                    "disk usage of images",
                    Severity.SEVERITY_WARNING,
                    "\"" + name
                            + "\" exports no root (containerd 1.7.16 and later), so that the kubelet does not see it; "
                            + ADD);
        }
        return Path.of(exported).equals(root)
                ? Doctor.finding(
                        "disk usage of images", Severity.SEVERITY_FINE, "the kubelet is told to look at " + root)
                : Doctor.finding(
                        "disk usage of images",
                        Severity.SEVERITY_WARNING,
                        "\"" + name + "\" exports the root " + exported + ", and images are kept in " + root
                                + "; make both the same in containerd's configuration and in /etc/coldstart/config.toml");
    }

    private static Finding pods(
            String name, TomlParseResult configuration, @Nullable TomlTable plugins, List<Plugin> loaded) {
        Set<String> disabled = new TreeSet<>();
        if (configuration.get(List.of("disabled_plugins")) instanceof TomlArray array) {
            for (int i = 0; i < array.size(); i++) {
                disabled.add(String.valueOf(array.get(i)));
            }
        }
        String plugin = table(plugins, CRI_2) == null ? CRI_1 : CRI_2;
        TomlTable containerd = table(table(plugins, plugin), "containerd");
        if (containerd == null || disabled.contains(plugin) || disabled.contains(CRI_1)) {
            return Doctor.finding("pods", Severity.SEVERITY_FINE, "the CRI plug-in is switched off");
        }
        for (Plugin one : loaded) {
            String uri = one.getType() + "." + one.getId();
            if (one.hasInitErr() && Set.of(CRI_1, CRI_2, IMAGES_2).contains(uri)) {
                return Doctor.finding(
                        "pods",
                        Severity.SEVERITY_PROBLEM,
                        "there are none, as containerd could not load its plug-in " + uri + ": "
                                + one.getInitErr().getMessage());
            }
        }
        TomlTable images = plugin.equals(CRI_1) ? containerd : table(plugins, IMAGES_2);
        if (images != null && name.equals(string(images, "snapshotter"))) {
            return Doctor.finding("pods", Severity.SEVERITY_FINE, "all are served by \"" + name + "\"");
        }
        TomlTable runtimes = table(containerd, "runtimes");
        Set<String> served = new TreeSet<>();
        Set<String> pulledElsewhere = new TreeSet<>();
        for (String runtime : runtimes == null ? Set.<String>of() : runtimes.keySet()) {
            TomlTable settings = table(runtimes, runtime);
            if (settings != null && name.equals(string(settings, "snapshotter"))) {
                served.add(runtime);
                TomlTable platform = table(table(images, "runtime_platforms"), runtime);
                if (plugin.equals(CRI_2) && (platform == null || !name.equals(string(platform, "snapshotter")))) {
                    pulledElsewhere.add(runtime);
                }
            }
        }
        if (!pulledElsewhere.isEmpty()) {
            return Doctor.finding(
                    "pods",
                    Severity.SEVERITY_WARNING,
                    "images for the runtime " + String.join(", ", pulledElsewhere)
                            + " are pulled for another snapshotter first, whole; " + ADD);
        }
        return Doctor.finding(
                "pods",
                Severity.SEVERITY_FINE,
                served.isEmpty()
                        ? "no runtime of the CRI uses \"" + name + "\""
                        : "those of the runtime " + String.join(", ", served) + " are served by \"" + name + "\"");
    }

    private TomlParseResult dump() throws IOException {
        long pid = containerd.pid();
        List<String> command = new ArrayList<>(List.of("containerd"));
        if (pid > 0) {
            Path process = Path.of("/proc", Long.toString(pid));
            Path program = Files.readSymbolicLink(process.resolve("exe"));
            if (program.getFileName() != null
                    && program.getFileName().toString().startsWith("containerd")) {
                command.set(0, program.toString());
                command.addAll(
                        configurationOption(Files.readString(process.resolve("cmdline"), StandardCharsets.UTF_8)));
            }
        }
        command.addAll(List.of("config", "dump"));
        TomlParseResult parsed = Toml.parse(output(command));
        if (parsed.hasErrors()) {
            throw new IOException("'" + String.join(" ", command) + "' printed no TOML");
        }
        return parsed;
    }

    /** The option of a command line that names the configuration; arguments end with a zero byte. */
    static List<String> configurationOption(String commandLine) {
        List<String> arguments = List.of(commandLine.split("\0", -1));
        for (int i = 1; i + 1 < arguments.size(); i++) {
            String option = arguments.get(i).replaceFirst("^--?", "");
            int value = option.indexOf('=');
            String name = value < 0 ? option : option.substring(0, value);
            String file = value < 0 ? arguments.get(i + 1) : option.substring(value + 1);
            if ((name.equals("config") || name.equals("c")) && !file.isEmpty()) {
                return List.of("--config", file);
            }
        }
        return List.of();
    }

    private static String output(List<String> command) throws IOException {
        Process process = new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        try {
            process.getOutputStream().close();
            CompletableFuture<byte[]> printed = new CompletableFuture<>();
            Thread.startVirtualThread(() -> {
                try {
                    printed.complete(process.getInputStream().readAllBytes());
                } catch (IOException e) {
                    printed.completeExceptionally(e);
                }
            });
            byte[] bytes = printed.get(DUMP_SECONDS, TimeUnit.SECONDS);
            if (process.waitFor() != 0) {
                throw new IOException("'" + String.join(" ", command) + "' failed");
            }
            return new String(bytes, StandardCharsets.UTF_8);
        } catch (TimeoutException | ExecutionException e) {
            throw new IOException("'" + String.join(" ", command) + "' did not answer", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while containerd's configuration was read", e);
        } finally {
            process.destroyForcibly();
        }
    }

    private static @Nullable TomlTable table(@Nullable TomlTable parent, String key) {
        return parent != null && parent.get(List.of(key)) instanceof TomlTable table ? table : null;
    }

    private static @Nullable String string(TomlTable table, String key) {
        return table.get(List.of(key)) instanceof String text ? text : null;
    }
}
