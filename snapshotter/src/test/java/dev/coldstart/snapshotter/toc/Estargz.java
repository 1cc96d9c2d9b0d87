package dev.coldstart.snapshotter.toc;

import dev.coldstart.snapshotter.fetch.TestLayer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.zip.GZIPOutputStream;

/** An eStargz blob of which the table of contents may say anything. */
final class Estargz {
    private final ByteArrayOutputStream blob = new ByteArrayOutputStream();

    Estargz() throws IOException {
        member(new byte[512]);
    }

    /** A blob that starts as another one. */
    Estargz(byte[] other, int length) {
        blob.write(other, 0, length);
    }

    /** Adds a gzip member; returns its offset. */
    long member(byte[] bytes) throws IOException {
        long at = blob.size();
        OutputStream gzip = new GZIPOutputStream(blob);
        gzip.write(bytes);
        gzip.close();
        return at;
    }

    Fixture finish(String json) throws IOException {
        return finish(json.getBytes(StandardCharsets.UTF_8));
    }

    Fixture finish(byte[] table) throws IOException {
        byte[] tar = new byte[512 + (table.length + 511) / 512 * 512 + 1024];
        byte[] name = "stargz.index.json".getBytes(StandardCharsets.US_ASCII);
        System.arraycopy(name, 0, tar, 0, name.length);
        byte[] size = "%011o".formatted(table.length).getBytes(StandardCharsets.US_ASCII);
        System.arraycopy(size, 0, tar, 124, size.length);
        System.arraycopy(table, 0, tar, 512, table.length);
        long at = member(tar);
        blob.writeBytes(footer(at));
        return new Fixture(
                Fixture.GZIP,
                blob.toByteArray(),
                Map.of(EstargzOrigin.TABLE_DIGEST, TestLayer.sha256(table).toString()));
    }

    static byte[] footer(long tableStart) {
        ByteArrayOutputStream footer = new ByteArrayOutputStream();
        footer.writeBytes(new byte[] {0x1f, (byte) 0x8b, 8, 4, 0, 0, 0, 0, 0, (byte) 255, 26, 0, 'S', 'G', 22, 0});
        footer.writeBytes("%016xSTARGZ".formatted(tableStart).getBytes(StandardCharsets.US_ASCII));
        footer.writeBytes(new byte[] {1, 0, 0, (byte) 255, (byte) 255});
        footer.writeBytes(new byte[8]);
        return footer.toByteArray();
    }
}
