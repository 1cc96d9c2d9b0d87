package dev.coldstart.snapshotter.rehearsal;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.Signature;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.ECGenParameterSpec;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Base64;
import java.util.HexFormat;
import java.util.Locale;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;

/**
 * A key that is this process's alone, with a certificate for {@code localhost} that it signed itself (X.509 in DER: RFC 5280,
 * 4.1; Java has no API to make one).
 *
 * @param context for a server
 * @param pem the certificate that a client must trust
 */
record LoopbackCertificate(SSLContext context, String pem) {
    private static final Duration VALID = Duration.ofDays(1);

    private static final int INTEGER = 0x02;
    private static final int BIT_STRING = 0x03;
    private static final int OCTET_STRING = 0x04;
    private static final int UTF8_STRING = 0x0c;
    private static final int GENERALIZED_TIME = 0x18;
    private static final int SEQUENCE = 0x30;
    private static final int SET = 0x31;
    private static final int VERSION = 0xa0;
    private static final int EXTENSIONS = 0xa3;
    private static final int DNS_NAME = 0x82;

    private static final byte[] ECDSA_WITH_SHA256 = HexFormat.of().parseHex("06082a8648ce3d040302");
    private static final byte[] COMMON_NAME = HexFormat.of().parseHex("0603550403");
    private static final byte[] SUBJECT_ALT_NAME = HexFormat.of().parseHex("0603551d11");
    private static final byte[] LOCALHOST = "localhost".getBytes(StandardCharsets.US_ASCII);

    /** Makes one, with a new key. */
    static LoopbackCertificate create() throws IOException, GeneralSecurityException {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(new ECGenParameterSpec("secp256r1"));
        KeyPair pair = generator.generateKeyPair();
        byte[] encoded = certificate(pair);
        Certificate certificate =
                CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(encoded));
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        char[] password = {};
        store.setKeyEntry("key", pair.getPrivate(), password, new Certificate[] {certificate});
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(store, password);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), null, null);
        return new LoopbackCertificate(
                context,
                "-----BEGIN CERTIFICATE-----\n" + Base64.getMimeEncoder().encodeToString(encoded)
                        + "\n-----END CERTIFICATE-----\n");
    }

    private static byte[] certificate(KeyPair pair) throws GeneralSecurityException {
        byte[] algorithm = der(SEQUENCE, ECDSA_WITH_SHA256);
        byte[] name = der(SEQUENCE, der(SET, der(SEQUENCE, COMMON_NAME, der(UTF8_STRING, LOCALHOST))));
        Instant now = Instant.now();
        byte[] signed = der(
                SEQUENCE,
                der(VERSION, der(INTEGER, new byte[] {2})),
                der(INTEGER, new byte[] {1}),
                algorithm,
                name,
                der(SEQUENCE, time(now.minus(VALID)), time(now.plus(VALID))),
                name,
                pair.getPublic().getEncoded(),
                der(
                        EXTENSIONS,
                        der(
                                SEQUENCE,
                                der(
                                        SEQUENCE,
                                        SUBJECT_ALT_NAME,
                                        der(OCTET_STRING, der(SEQUENCE, der(DNS_NAME, LOCALHOST)))))));
        Signature signature = Signature.getInstance("SHA256withECDSA");
        signature.initSign(pair.getPrivate());
        signature.update(signed);
        return der(SEQUENCE, signed, algorithm, der(BIT_STRING, new byte[1], signature.sign()));
    }

    private static byte[] time(Instant when) {
        return der(
                GENERALIZED_TIME,
                DateTimeFormatter.ofPattern("yyyyMMddHHmmss'Z'", Locale.ROOT)
                        .withZone(ZoneOffset.UTC)
                        .format(when)
                        .getBytes(StandardCharsets.US_ASCII));
    }

    /** A tag, how long the content is, and the content (ITU-T X.690, 8.1). */
    private static byte[] der(int tag, byte[]... parts) {
        int length = 0;
        for (byte[] part : parts) {
            length += part.length;
        }
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.write(tag);
        if (length < 0x80) {
            out.write(length);
        } else if (length < 0x100) {
            out.write(0x81);
            out.write(length);
        } else {
            out.write(0x82);
            out.write(length >> 8);
            out.write(length);
        }
        for (byte[] part : parts) {
            out.writeBytes(part);
        }
        return out.toByteArray();
    }
}
