package dev.coldstart.snapshotter.service;

import dev.coldstart.linux.FileSystemSpace;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.proto.v1.Finding;
import dev.coldstart.proto.v1.Severity;
import dev.coldstart.snapshotter.Configuration;
import dev.coldstart.snapshotter.content.Containerd;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.metadata.MetadataStore;
import dev.coldstart.snapshotter.metadata.Snapshot;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.registry.RegistryClient;
import dev.coldstart.snapshotter.rootfs.LayerMounts;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.util.ArrayList;
import java.util.List;

/** Looks over a node. Each look is quick and changes nothing. */
public final class Doctor {
    /** Of a file system, below which something will soon fail. */
    private static final double LOW = 0.05;

    private static final double OUT = 0.01;

    private final String serving;
    private final boolean outlived;
    private final MetadataStore metadata;
    private final LayerMounts trees;
    private final ObjectStore objects;
    private final Path root;
    private final ContainerdDoctor containerd;
    private final RegistryDoctor registries;

    /**
     * Looks at these.
     *
     * @param serving how root file systems are served, and why
     * @param outlived whether the next process can go on where this one ends
     * @param configuration where things are, and which registries are known
     */
    public Doctor(
            String serving,
            boolean outlived,
            Configuration configuration,
            MetadataStore metadata,
            LayerMounts trees,
            ObjectStore objects,
            Containerd containerd,
            RegistryClient registry) {
        this.serving = serving;
        this.outlived = outlived;
        this.metadata = metadata;
        this.trees = trees;
        this.objects = objects;
        this.root = configuration.root();
        this.containerd = new ContainerdDoctor(containerd, configuration.state().resolve("snapshotter.sock"), root);
        this.registries =
                new RegistryDoctor(registry, configuration.registries().keySet(), metadata::catalog);
    }

    /** All findings, also the good ones. */
    List<Finding> look() {
        List<Finding> findings = new ArrayList<>();
        findings.add(kernel());
        findings.add(finding("root file systems", Severity.SEVERITY_FINE, serving));
        findings.add(handOver());
        findings.add(layers());
        findings.add(permissions());
        findings.addAll(disk());
        findings.addAll(containerd.look());
        findings.addAll(registries.look());
        return findings;
    }

    /** That we may write; the rest was proven at the start, which fails otherwise. */
    private Finding permissions() {
        try {
            Path trial = Files.createTempFile(root, "doctor", null);
            Files.delete(trial);
            return Files.getPosixFilePermissions(root).contains(PosixFilePermission.OTHERS_READ)
                    ? finding(
                            "permissions",
                            Severity.SEVERITY_WARNING,
                            root + " can be read by everybody, with all images in it; run: chmod 700 " + root)
                    : finding("permissions", Severity.SEVERITY_FINE, root + " is root's own, and can be written");
        } catch (IOException e) {
            return finding("permissions", Severity.SEVERITY_PROBLEM, "cannot write to " + root + ": " + e.getMessage());
        }
    }

    private List<Finding> disk() {
        try {
            FileSystemSpace space = FileSystemSpace.of(root);
            return List.of(
                    room(
                            "disk",
                            space.freeBytes(),
                            space.bytes(),
                            mib(objects.usedBytes()) + " of objects, of at most " + mib(objects.mostBytes()) + "; "
                                    + mib(space.freeBytes()) + " of the file system are free"),
                    space.inodes() == 0
                            ? finding("inodes", Severity.SEVERITY_FINE, "the file system makes them as they are needed")
                            : room(
                                    "inodes",
                                    space.freeInodes(),
                                    space.inodes(),
                                    space.freeInodes() + " of " + space.inodes() + " are free"));
        } catch (LinuxException e) {
            return List.of(finding("disk", Severity.SEVERITY_PROBLEM, String.valueOf(e.getMessage())));
        }
    }

    private Finding room(String subject, long free, long all, String text) {
        if (free < OUT * all) {
            return finding(
                    subject,
                    Severity.SEVERITY_PROBLEM,
                    text + ": containers cannot write, and images are not kept; make room in the file system of "
                            + root);
        }
        return free < LOW * all
                ? finding(
                        subject,
                        Severity.SEVERITY_WARNING,
                        text + ": that is little; make room in the file system of " + root)
                : finding(subject, Severity.SEVERITY_FINE, text);
    }

    private static String mib(long bytes) {
        return bytes / (1 << 20) + " MiB";
    }

    private static Finding kernel() {
        try {
            String release =
                    Files.readString(Path.of("/proc/sys/kernel/osrelease")).strip();
            return finding("kernel", Severity.SEVERITY_FINE, "Linux " + release);
        } catch (IOException e) {
            return finding("kernel", Severity.SEVERITY_WARNING, "cannot read its release: " + e.getMessage());
        }
    }

    private Finding handOver() {
        return outlived
                ? finding(
                        "hand-over",
                        Severity.SEVERITY_FINE,
                        "if coldstart-snapshotter dies, reads wait for the next one")
                : finding(
                        "hand-over",
                        Severity.SEVERITY_WARNING,
                        "if coldstart-snapshotter dies, running containers get errors for bytes that are not here; run it by systemd 254 or newer or by coldstart-keeper, on a kernel that can mount trees");
    }

    private Finding layers() {
        int mounted = 0;
        List<Digest> missing = new ArrayList<>();
        for (Snapshot snapshot : metadata.catalog().snapshots()) {
            Digest layer = snapshot.layer();
            if (layer == null) {
                continue;
            }
            if (trees.find(layer) != null) {
                mounted++;
            } else {
                missing.add(layer);
            }
        }
        return missing.isEmpty()
                ? finding("layers", Severity.SEVERITY_FINE, mounted + " lazy layers, all mounted")
                : finding(
                        "layers",
                        Severity.SEVERITY_PROBLEM,
                        missing.size() + " of " + (mounted + missing.size())
                                + " lazy layers are not mounted, so containers with them do not start; pull their images again: "
                                + missing.getFirst() + (missing.size() == 1 ? "" : " and others"));
    }

    static Finding finding(String subject, Severity severity, String text) {
        return Finding.newBuilder()
                .setSubject(subject)
                .setSeverity(severity)
                .setText(text)
                .build();
    }
}
