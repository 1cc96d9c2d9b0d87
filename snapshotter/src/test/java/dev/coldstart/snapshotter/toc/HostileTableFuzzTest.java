package dev.coldstart.snapshotter.toc;

import static org.assertj.core.api.Assertions.assertThat;

import com.code_intelligence.jazzer.junit.FuzzTest;
import dev.coldstart.snapshotter.layer.CheckpointedLayer;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerIndex;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Objects;
import java.util.Random;
import java.util.zip.GZIPInputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Whatever a table says: a sound index and tree, or an {@link IOException} and nothing left behind. */
final class HostileTableFuzzTest {
    @TempDir
    Path directory;

    @FuzzTest(maxDuration = "2m")
    void anyBytesAsATable(byte[] bytes) throws Exception {
        table(new Estargz(), bytes);
    }

    @FuzzTest(maxDuration = "2m")
    void anyBytesAsAZtoc(byte[] bytes) throws Exception {
        Digest layer = new Digest("sha256", "1".repeat(64));
        try (CheckpointedLayer made = new CheckpointedLayer(index(), tree(), layer, layer)) {
            Ztoc.of(bytes).addTo(made, new byte[10], layer);
        } catch (IOException e) {
            assertThat(e).hasMessageNotContaining("null");
        }
        sound();
    }

    @Test
    void mutatedTables() throws Exception {
        Fixture fixture = Fixture.of("estargz");
        EstargzFooter footer = Objects.requireNonNull(EstargzFooter.of(fixture.blob()));
        byte[] tar;
        try (InputStream in = new GZIPInputStream(new ByteArrayInputStream(
                fixture.blob(), (int) footer.tableStart(), fixture.blob().length - (int) footer.tableStart()))) {
            tar = in.readAllBytes();
        }
        int size = Integer.parseInt(new String(tar, 124, 11, StandardCharsets.US_ASCII), 8);
        byte[] json = Arrays.copyOfRange(tar, 512, 512 + size);
        int start = (int) footer.tableStart();
        assertThat(table(new Estargz(fixture.blob(), start), json)).isTrue();
        Random random = new Random(7);
        int taken = 0;
        for (int i = 0; i < 300; i++) {
            byte[] mutant = json.clone();
            for (int n = random.nextInt(4); n >= 0; n--) {
                int at = random.nextInt(mutant.length);
                mutant[at] = (byte) "0123456789\"{}[],:-/.x \u00ff".charAt(random.nextInt(23));
            }
            taken += table(
                            new Estargz(fixture.blob(), start),
                            i % 20 == 0 ? Arrays.copyOf(mutant, random.nextInt(mutant.length)) : mutant)
                    ? 1
                    : 0;
        }
        assertThat(taken).isBetween(10, 290);
    }

    /** Returns whether it was taken. */
    private boolean table(Estargz blob, byte[] json) throws Exception {
        Fixture fixture = blob.finish(json);
        boolean taken = false;
        try {
            taken = new EstargzOrigin(fixture.source()).provide(fixture.layer(), index(), tree());
        } catch (IOException e) {
            assertThat(e.getMessage()).isNotNull();
        }
        sound();
        return taken;
    }

    private Path index() {
        return directory.resolve("x.idx");
    }

    private Path tree() {
        return directory.resolve("x.erofs");
    }

    /** Either both are there and whole, or neither is. */
    private void sound() throws Exception {
        if (Files.exists(index())) {
            LayerIndex.open(index()).close();
            assertThat(Contents.names(tree())).isNotEmpty();
            Files.delete(index());
            Files.delete(tree());
        }
        assertThat(directory).isEmptyDirectory();
    }

    @Test
    void footersAreFoundWhereTheyAre() {
        byte[] footer = Estargz.footer(0x1234_5678_9abcL);
        assertThat(EstargzFooter.of(footer)).isEqualTo(new EstargzFooter(0x1234_5678_9abcL, 51));
        // The older one has no subfield in its extra field.
        byte[] older = new byte[100 + 47];
        System.arraycopy(footer, 0, older, 100, 10);
        older[110] = 22;
        System.arraycopy(footer, 16, older, 112, 35);
        assertThat(EstargzFooter.of(older)).isEqualTo(new EstargzFooter(0x1234_5678_9abcL, 47));
        assertThat(EstargzFooter.of(Arrays.copyOf(footer, 50))).isNull();
        assertThat(EstargzFooter.of(new byte[0])).isNull();
        byte[] frame = new byte[72];
        ByteBuffer.wrap(frame)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putInt(0x184d_2a50)
                .putInt(64)
                .putLong(1000)
                .putLong(20)
                .putLong(300)
                .putLong(1)
                .put(64, "GNUlInUx".getBytes(StandardCharsets.US_ASCII));
        assertThat(ZstdTable.of(frame)).isEqualTo(new ZstdTable(1000, 20, 300));
        Random random = new Random(8);
        for (int i = 0; i < 2000; i++) {
            byte[] tail = i % 2 == 0 ? footer.clone() : frame.clone();
            tail[random.nextInt(tail.length)] = (byte) random.nextInt(256);
            EstargzFooter found = EstargzFooter.of(tail);
            ZstdTable table = ZstdTable.of(tail);
            assertThat(found == null || found.tableStart() >= 0).isTrue();
            assertThat(table == null || i % 2 == 1).isTrue();
        }
    }
}
