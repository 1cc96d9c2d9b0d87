package dev.coldstart.snapshotter.object;

import dev.coldstart.snapshotter.layer.Digest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/** The layers that the planner wants here, and in which tier; survives a restart. A line of its file: digest, tier. */
public final class Pins {
    private final Path file;
    private final Disk disk = new Disk();
    private final ConcurrentHashMap<Digest, Tier> tiers = new ConcurrentHashMap<>();

    private Pins(Path file) {
        this.file = file;
    }

    /** Reads the file, if there is one. */
    public static Pins open(Path file) throws IOException {
        Pins pins = new Pins(file);
        if (Files.exists(file)) {
            for (String line : Files.readAllLines(file)) {
                String[] words = line.split(" ", -1);
                try {
                    pins.tiers.put(Digest.parse(words[0]), Tier.valueOf(words.length == 2 ? words[1] : ""));
                } catch (IllegalArgumentException e) {
                    throw new IOException("cannot read " + file + ": \"" + line + "\" is not a digest and a tier", e);
                }
            }
        }
        return pins;
    }

    /** The tier in which a layer is wanted; null if it is not. */
    public @Nullable Tier tier(Digest layer) {
        return tiers.get(layer);
    }

    /** All pinned layers. */
    public Map<Digest, Tier> all() {
        return Map.copyOf(tiers);
    }

    /** From when this returns the layer is wanted in the tier; null takes the wish back. */
    public synchronized void set(Digest layer, @Nullable Tier tier) throws IOException {
        Map<String, Tier> wanted = new TreeMap<>();
        tiers.forEach((digest, at) -> wanted.put(digest.toString(), at));
        if (tier == null) {
            wanted.remove(layer.toString());
        } else {
            wanted.put(layer.toString(), tier);
        }
        StringBuilder text = new StringBuilder();
        wanted.forEach(
                (digest, at) -> text.append(digest).append(' ').append(at).append('\n'));
        disk.replace(file, text.toString());
        if (tier == null) {
            tiers.remove(layer);
        } else {
            tiers.put(layer, tier);
        }
    }
}
