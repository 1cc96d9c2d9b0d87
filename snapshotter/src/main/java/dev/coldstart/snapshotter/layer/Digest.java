package dev.coldstart.snapshotter.layer;

import java.util.HexFormat;

/**
 * A content digest as OCI writes it, such as {@code sha256:9f86…}. Only SHA-256 is known: it is what registries use.
 *
 * @param algorithm {@code sha256}
 * @param hex 64 lower-case hexadecimal digits
 */
public record Digest(String algorithm, String hex) {
    /**
     * Checks both parts.
     *
     * @throws IllegalArgumentException if this is not a SHA-256 digest
     */
    public Digest {
        if (!algorithm.equals("sha256")) {
            throw new IllegalArgumentException("digest algorithm \"" + algorithm + "\" is not known, only sha256 is");
        }
        if (!ObjectName.isHex(hex)) {
            throw new IllegalArgumentException("\"" + hex + "\" is not a SHA-256 in 64 lower-case hexadecimal digits");
        }
    }

    /**
     * Reads {@code algorithm:hex}.
     *
     * @throws IllegalArgumentException if this is not a SHA-256 digest
     */
    public static Digest parse(String text) {
        int colon = text.indexOf(':');
        if (colon < 0) {
            throw new IllegalArgumentException("\"" + text + "\" is not a digest of the form sha256:HEX");
        }
        return new Digest(text.substring(0, colon), text.substring(colon + 1));
    }

    /** The digest whose 32 bytes these are. */
    public static Digest of(byte[] sha256) {
        return new Digest("sha256", HexFormat.of().formatHex(sha256));
    }

    /** The digest of these bytes. */
    public static Digest ofContent(byte[] content) {
        return of(Sha256.digest().digest(content));
    }

    /** The 32 bytes. */
    public byte[] bytes() {
        return HexFormat.of().parseHex(hex);
    }

    @Override
    public String toString() {
        return algorithm + ":" + hex;
    }
}
