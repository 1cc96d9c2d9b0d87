package dev.coldstart.snapshotter.fetch;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.object.Size;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class BlobSpoolTest {
    private static final Digest LAYER = Digest.parse("sha256:" + "ab".repeat(32));
    private static final byte[] BLOB = "a blob that comes as a whole".getBytes(StandardCharsets.UTF_8);

    @TempDir
    Path directory;

    @Test
    void aRangeIsReadWhereTheWholeIs() throws IOException {
        try (BlobSpool spool = new BlobSpool(directory, Size.ZERO);
                InputStream range = spool.open(LAYER, 2, 6, () -> new ByteArrayInputStream(BLOB))) {
            assertThat(range.readAllBytes()).asString(StandardCharsets.UTF_8).isEqualTo("blob");
        }
    }

    @Test
    void theReserveOfTheFileSystemIsLeftAlone() throws IOException {
        try (BlobSpool spool = new BlobSpool(directory, new Size(100, Size.Unit.PERCENT));
                InputStream range = spool.open(LAYER, 2, 6, () -> new ByteArrayInputStream(BLOB))) {
            assertThatThrownBy(range::readAllBytes)
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("no room in " + directory)
                    .hasMessageContaining("store.free_min");
        }
    }
}
