package dev.coldstart.snapshotter.layer;

import dev.coldstart.linux.Igzip;
import dev.coldstart.linux.RawInflater;
import dev.coldstart.linux.Zlib;
import java.util.List;

/** The decompressors that spans may be read with. */
final class RawInflaters {
    private RawInflaters() {}

    /** One of each that this host has; the caller closes them. */
    static List<RawInflater> all() {
        return Igzip.isAvailable() ? List.of(new Zlib(), new Igzip()) : List.of(new Zlib());
    }
}
