package dev.coldstart.linux;

import java.io.ByteArrayOutputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.HexFormat;

/**
 * A path as the kernel has it. Java keeps the bytes of a path that it was given by the kernel, but its text form loses
 * those that the locale's encoding does not have, and daemons run in the C locale.
 */
public final class PathBytes {
    private PathBytes() {}

    /**
     * A path below a directory, whatever bytes it has: {@link Path#resolve(String)} refuses those that the locale's encoding
     * does not have.
     *
     * @param path relative, a byte per char, none of them 0
     */
    public static Path resolve(Path directory, String path) {
        if (path.chars().allMatch(c -> c < 128)) {
            return directory.resolve(path);
        }
        // The URI form takes every byte.
        StringBuilder uri = new StringBuilder(directory.toUri().getRawPath());
        uri.append(uri.charAt(uri.length() - 1) == '/' ? "" : "/");
        path.chars()
                .forEach(c -> uri.append(
                        c == '/' ? "/" : "%" + HexFormat.of().withUpperCase().toHexDigits((byte) c)));
        return Path.of(URI.create("file://" + uri));
    }

    /** The path as a C string. */
    static MemorySegment of(Arena arena, Path path) {
        String text = path.toString();
        if (text.chars().allMatch(c -> c < 128)) {
            return arena.allocateFrom(text);
        }
        // The URI form has every byte, as itself or as %XX.
        byte[] uri = path.toUri().getRawPath().getBytes(StandardCharsets.US_ASCII);
        ByteArrayOutputStream bytes = new ByteArrayOutputStream(uri.length + 1);
        for (int at = 0; at < uri.length; at++) {
            if (uri[at] == '%') {
                bytes.write(Character.digit(uri[at + 1], 16) << 4 | Character.digit(uri[at + 2], 16));
                at += 2;
            } else if (uri[at] != '/' || at + 1 < uri.length) {
                bytes.write(uri[at]);
            }
        }
        bytes.write(0);
        return arena.allocateFrom(ValueLayout.JAVA_BYTE, bytes.toByteArray());
    }
}
