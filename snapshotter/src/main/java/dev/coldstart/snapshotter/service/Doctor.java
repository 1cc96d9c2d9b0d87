package dev.coldstart.snapshotter.service;

import dev.coldstart.proto.v1.Finding;
import dev.coldstart.proto.v1.Severity;
import dev.coldstart.snapshotter.content.Containerd;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.metadata.MetadataStore;
import dev.coldstart.snapshotter.metadata.Snapshot;
import dev.coldstart.snapshotter.rootfs.LayerMounts;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Looks over a node. Each look is quick and changes nothing. */
public final class Doctor {
    private final String serving;
    private final boolean outlived;
    private final MetadataStore metadata;
    private final LayerMounts trees;
    private final Containerd containerd;

    /**
     * Looks at these.
     *
     * @param serving how root file systems are served, and why
     * @param outlived whether the next process can go on where this one ends
     */
    public Doctor(String serving, boolean outlived, MetadataStore metadata, LayerMounts trees, Containerd containerd) {
        this.serving = serving;
        this.outlived = outlived;
        this.metadata = metadata;
        this.trees = trees;
        this.containerd = containerd;
    }

    /** All findings, also the good ones. */
    List<Finding> look() {
        List<Finding> findings = new ArrayList<>();
        findings.add(kernel());
        findings.add(finding("root file systems", Severity.SEVERITY_FINE, serving));
        findings.add(handOver());
        findings.add(layers());
        findings.add(containerd());
        return findings;
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

    private Finding containerd() {
        try {
            containerd.check();
            return finding("containerd", Severity.SEVERITY_FINE, "answers");
        } catch (IOException e) {
            return finding(
                    "containerd",
                    Severity.SEVERITY_PROBLEM,
                    "images are unpacked by containerd and not served lazily: " + e.getMessage());
        }
    }

    private static Finding finding(String subject, Severity severity, String text) {
        return Finding.newBuilder()
                .setSubject(subject)
                .setSeverity(severity)
                .setText(text)
                .build();
    }
}
