package dev.coldstart.linux;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.util.List;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/**
 * The certificate authorities that this machine trusts, as containerd and every other program on it sees them. Java by itself
 * trusts the list that its runtime was built with: a registry behind a company's own authority would answer containerd and
 * not us.
 */
public final class TrustedAuthorities {
    /** Where distributions keep them in one PEM file: Debian and its like, Fedora and its like, openSUSE. */
    private static final List<Path> BUNDLES = List.of(
            Path.of("/etc/ssl/certs/ca-certificates.crt"),
            Path.of("/etc/pki/tls/certs/ca-bundle.crt"),
            Path.of("/etc/ssl/ca-bundle.pem"));

    private TrustedAuthorities() {}

    /**
     * A context for clients that trusts this machine's authorities, or Java's own where the machine keeps none.
     *
     * @throws IOException the bundle cannot be read, or holds something that is no certificate
     */
    public static SSLContext clientContext() throws IOException {
        for (Path bundle : BUNDLES) {
            if (Files.isReadable(bundle)) {
                return clientContext(bundle);
            }
        }
        try {
            return SSLContext.getDefault();
        } catch (GeneralSecurityException e) {
            throw new IOException("cannot set up TLS: " + e.getMessage(), e);
        }
    }

    /**
     * The same for the authorities of one file.
     *
     * @param bundle X.509 certificates in PEM, one after the other
     */
    public static SSLContext clientContext(Path bundle) throws IOException {
        try (InputStream in = Files.newInputStream(bundle)) {
            KeyStore store = KeyStore.getInstance("PKCS12");
            store.load(null, null);
            int n = 0;
            for (Certificate certificate :
                    CertificateFactory.getInstance("X.509").generateCertificates(in)) {
                store.setCertificateEntry("authority-" + n++, certificate);
            }
            TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            trust.init(store);
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(null, trust.getTrustManagers(), null);
            return context;
        } catch (GeneralSecurityException e) {
            throw new IOException("cannot read the certificate authorities in " + bundle + ": " + e.getMessage(), e);
        }
    }
}
