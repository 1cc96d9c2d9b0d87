package dev.coldstart.snapshotter.sharing;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import java.util.Arrays;
import javax.crypto.Cipher;
import javax.crypto.KDF;
import javax.crypto.SecretKey;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.HKDFParameterSpec;

/**
 * The secret that the nodes of a cluster share. What one of them sealed the others can open, and nobody else can read it
 * or make it: an index says which bytes a file has, so one of a stranger would be as good as an image of a stranger.
 *
 * <p>A sealed stream: 16 bytes of salt, then records, each 4 bytes (little-endian; the upper bit marks the last one) with
 * the record's length and so many bytes of AES-256-GCM, tag included. The key is HKDF-SHA256 (RFC 5869) of secret and
 * salt, with the context as information; the nonce is the record's number, the length word the associated data.
 */
public final class ClusterKey {
    private static final int SHORTEST = 32;
    private static final int LONGEST = 4096;
    private static final int SALT = 16;
    private static final int TAG = 16;
    private static final int NONCE = 12;
    private static final int RECORD = 256 << 10;
    private static final int LAST = 1 << 31;

    private final byte[] secret;

    private ClusterKey(byte[] secret) {
        this.secret = secret;
    }

    /**
     * Reads a key file: any 32 to 4096 bytes that nobody can guess.
     *
     * @throws IOException if it cannot be read, is too short or too long, or if others than its owner may read it
     */
    public static ClusterKey read(Path file) throws IOException {
        for (PosixFilePermission permission : Files.getPosixFilePermissions(file)) {
            if (!permission.name().startsWith("OWNER")) {
                throw new IOException(
                        "the key " + file + " may be read or written by others than its owner; chmod 0600 it");
            }
        }
        byte[] bytes = Files.readAllBytes(file);
        if (bytes.length < SHORTEST || bytes.length > LONGEST) {
            throw new IOException("the key " + file + " has " + bytes.length + " bytes; it must have " + SHORTEST
                    + " to " + LONGEST + ", such as head -c 64 /dev/urandom gives");
        }
        return new ClusterKey(bytes);
    }

    /**
     * Seals what is written; only closing completes it.
     *
     * @param to closed with the stream
     * @param context what the bytes are, which the reader has to name too
     */
    public OutputStream seal(OutputStream to, String context) throws IOException {
        byte[] salt = new byte[SALT];
        new SecureRandom().nextBytes(salt);
        to.write(salt);
        return new Sealing(to, derive(salt, context));
    }

    /**
     * Opens what was sealed. Delivers no byte that was not sealed with this key for this context, and fails where the
     * stream was cut.
     *
     * @param from closed with the stream
     */
    public InputStream open(InputStream from, String context) throws IOException {
        byte[] salt = from.readNBytes(SALT);
        if (salt.length < SALT) {
            throw new EOFException("the sealed stream ends too early");
        }
        return new Opening(from, derive(salt, context));
    }

    private SecretKey derive(byte[] salt, String context) {
        try {
            return KDF.getInstance("HKDF-SHA256")
                    .deriveKey(
                            "AES",
                            HKDFParameterSpec.ofExtract()
                                    .addIKM(secret)
                                    .addSalt(salt)
                                    .thenExpand(("coldstart 1 " + context).getBytes(StandardCharsets.UTF_8), 32));
        } catch (GeneralSecurityException e) {
            throw new AssertionError("every JDK has HKDF with SHA-256", e);
        }
    }

    /** One direction of a stream: the cipher for each of its records. */
    private static final class Records {
        private final SecretKey key;
        private final Cipher cipher;
        private long number;

        Records(SecretKey key) {
            this.key = key;
            try {
                this.cipher = Cipher.getInstance("AES/GCM/NoPadding");
            } catch (GeneralSecurityException e) {
                throw new AssertionError("every JDK has AES-GCM", e);
            }
        }

        byte[] next(int mode, byte[] bytes, int length, byte[] header) throws GeneralSecurityException {
            byte[] nonce = ByteBuffer.allocate(NONCE)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putLong(number++)
                    .array();
            cipher.init(mode, key, new GCMParameterSpec(8 * TAG, nonce));
            cipher.updateAAD(header);
            return cipher.doFinal(bytes, 0, length);
        }

        static byte[] header(int length, boolean last) {
            return ByteBuffer.allocate(4)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putInt(last ? length | LAST : length)
                    .array();
        }
    }

    private static final class Sealing extends OutputStream {
        private final OutputStream to;
        private final Records records;
        private final byte[] buffer = new byte[RECORD];
        private int filled;
        private boolean closed;

        Sealing(OutputStream to, SecretKey key) {
            this.to = to;
            this.records = new Records(key);
        }

        @Override
        public void write(int b) throws IOException {
            write(new byte[] {(byte) b}, 0, 1);
        }

        @Override
        public void write(byte[] bytes, int offset, int length) throws IOException {
            int at = offset;
            int left = length;
            while (left > 0) {
                if (filled == RECORD) {
                    record(false);
                }
                int n = Math.min(left, RECORD - filled);
                System.arraycopy(bytes, at, buffer, filled, n);
                filled += n;
                at += n;
                left -= n;
            }
        }

        private void record(boolean last) throws IOException {
            byte[] header = Records.header(filled + TAG, last);
            try {
                byte[] sealed = records.next(Cipher.ENCRYPT_MODE, buffer, filled, header);
                to.write(header);
                to.write(sealed);
            } catch (GeneralSecurityException e) {
                throw new AssertionError("AES-GCM encrypts anything", e);
            }
            filled = 0;
        }

        @Override
        public void close() throws IOException {
            if (!closed) {
                closed = true;
                try (to) {
                    record(true);
                }
            }
        }
    }

    private static final class Opening extends InputStream {
        private final InputStream from;
        private final Records records;
        private byte[] opened = {};
        private int at;
        private boolean last;

        Opening(InputStream from, SecretKey key) {
            this.from = from;
            this.records = new Records(key);
        }

        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override
        public int read(byte[] bytes, int offset, int length) throws IOException {
            if (length == 0) {
                return 0;
            }
            while (at == opened.length) {
                if (last) {
                    return -1;
                }
                record();
            }
            int n = Math.min(length, opened.length - at);
            System.arraycopy(opened, at, bytes, offset, n);
            at += n;
            return n;
        }

        private void record() throws IOException {
            byte[] header = from.readNBytes(4);
            if (header.length < 4) {
                throw new EOFException("the sealed stream ends too early");
            }
            int word = ByteBuffer.wrap(header).order(ByteOrder.LITTLE_ENDIAN).getInt();
            int length = word & ~LAST;
            if (length < TAG || length > RECORD + TAG) {
                throw new IOException("what should be sealed is not");
            }
            byte[] sealed = from.readNBytes(length);
            if (sealed.length < length) {
                throw new EOFException("the sealed stream ends too early");
            }
            try {
                opened = records.next(Cipher.DECRYPT_MODE, sealed, length, header);
            } catch (GeneralSecurityException e) {
                throw new IOException("it was not sealed with this cluster's key, or was changed since", e);
            }
            at = 0;
            last = word < 0;
        }

        @Override
        public void close() throws IOException {
            Arrays.fill(opened, (byte) 0);
            from.close();
        }
    }
}
