package dev.coldstart.snapshotter.sharing;

import dev.coldstart.snapshotter.layer.Digest;
import org.jspecify.annotations.Nullable;

/** What is known of how layers are read at starts; travels with their indexes. */
public interface Traces {
    /** Nothing is known, and nothing is kept. */
    Traces NONE = new Traces() {
        @Override
        public byte @Nullable [] read(Digest layer) {
            return null;
        }

        @Override
        public void add(Digest layer, byte[] trace) {}
    };

    /** What this node knows of a layer; null if nothing. */
    byte @Nullable [] read(Digest layer);

    /** Takes over what another node knew; what cannot be understood is dropped. */
    void add(Digest layer, byte[] trace);
}
