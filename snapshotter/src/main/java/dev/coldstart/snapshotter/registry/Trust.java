package dev.coldstart.snapshotter.registry;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

/**
 * Whose certificates a registry may show: the authorities that the machine trusts, as containerd sees them, and those that
 * the configuration names. Java by itself trusts the list its runtime was built with: a registry behind a company's own
 * authority would answer containerd and not us.
 */
public final class Trust {
    /** Where distributions keep the machine's authorities in one PEM file: Debian and its like, Fedora's, openSUSE. */
    private static final List<Path> BUNDLES = List.of(
            Path.of("/etc/ssl/certs/ca-certificates.crt"),
            Path.of("/etc/pki/tls/certs/ca-bundle.crt"),
            Path.of("/etc/ssl/ca-bundle.pem"));

    private Trust() {}

    /**
     * A TLS context for clients that trusts the machine's authorities (Java's own where the machine keeps none) and the
     * certificates in some PEM files.
     *
     * @throws IOException with one clear sentence if a file cannot be used
     */
    public static SSLContext with(Collection<Path> pemFiles) throws IOException {
        try {
            KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
            store.load(null, null);
            Optional<Path> machine = BUNDLES.stream().filter(Files::isReadable).findFirst();
            if (machine.isPresent()) {
                addFile(store, machine.get());
            } else {
                addJavas(store);
            }
            for (Path file : pemFiles) {
                addFile(store, file);
            }
            TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            trust.init(store);
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(null, trust.getTrustManagers(), null);
            return context;
        } catch (GeneralSecurityException e) {
            throw new IOException("cannot set up TLS: " + e.getMessage(), e);
        }
    }

    private static void addJavas(KeyStore store) throws GeneralSecurityException {
        TrustManagerFactory defaults = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        defaults.init((KeyStore) null);
        for (TrustManager manager : defaults.getTrustManagers()) {
            if (manager instanceof X509TrustManager authorities) {
                for (X509Certificate certificate : authorities.getAcceptedIssuers()) {
                    add(store, certificate);
                }
            }
        }
    }

    private static void addFile(KeyStore store, Path file) throws IOException {
        try (InputStream in = Files.newInputStream(file)) {
            for (Certificate certificate :
                    CertificateFactory.getInstance("X.509").generateCertificates(in)) {
                add(store, certificate);
            }
        } catch (IOException | GeneralSecurityException e) {
            throw new IOException("cannot read certificates from " + file + ": " + e.getMessage(), e);
        }
    }

    private static void add(KeyStore store, Certificate certificate) throws GeneralSecurityException {
        store.setCertificateEntry("authority-" + store.size(), certificate);
    }
}
