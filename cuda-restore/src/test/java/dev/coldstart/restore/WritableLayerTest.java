package dev.coldstart.restore;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.coldstart.proto.containerd.types.Mount;
import dev.coldstart.restore.store.StoredSnapshot;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class WritableLayerTest {
    @TempDir
    Path directory;

    private static Mount overlay(String... options) {
        return Mount.newBuilder()
                .setType("overlay")
                .setSource("overlay")
                .addAllOptions(List.of(options))
                .build();
    }

    @Test
    void theSnapshotsLayerBecomesTheTopmostLowerLayer() throws IOException {
        try (StoredSnapshot snapshot = Snapshots.stored(directory)) {
            List<Mount> mounts = WritableLayer.under(
                    List.of(overlay("index=off", "lowerdir=/t/2:/t/1::/o", "upperdir=/u", "workdir=/w")), snapshot);

            assertThat(mounts)
                    .containsExactly(overlay(
                            "index=off",
                            "lowerdir=" + snapshot.upper() + ":/t/2:/t/1::/o",
                            "upperdir=/u",
                            "workdir=/w"));
        }
    }

    @Test
    void aRootFileSystemWithoutAWritableOverlayIsRefused() throws IOException {
        try (StoredSnapshot snapshot = Snapshots.stored(directory)) {
            for (Mount mount :
                    List.of(Mount.newBuilder().setType("bind").setSource("/x").build(), overlay("lowerdir=/a:/b"))) {
                assertThatThrownBy(() -> WritableLayer.under(List.of(mount), snapshot))
                        .isInstanceOf(RestoreException.class)
                        .hasMessageContaining("no overlay with a writable layer");
            }
        }
    }

    @Test
    void optionsOfMoreThanAPageAreRefused() throws IOException {
        try (StoredSnapshot snapshot = Snapshots.stored(directory)) {
            int room =
                    4096 - 1 - snapshot.upper().toString().length() - ":".length() - "upperdir=/u,lowerdir=".length();
            Mount fits = overlay("upperdir=/u", "lowerdir=" + "a".repeat(room));
            Mount tooLong = overlay("upperdir=/u", "lowerdir=" + "a".repeat(room + 1));

            assertThat(String.join(
                            ",",
                            WritableLayer.under(List.of(fits), snapshot)
                                    .getFirst()
                                    .getOptionsList()))
                    .hasSize(4095);
            assertThatThrownBy(() -> WritableLayer.under(List.of(tooLong), snapshot))
                    .isInstanceOf(RestoreException.class)
                    .hasMessageContaining("more than");
        }
    }
}
