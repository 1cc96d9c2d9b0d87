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
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

/** Whose certificates a registry may show: the runtime's authorities, and those a user names. */
public final class Trust {
    private Trust() {}

    /**
     * A TLS context that also trusts the certificates in some PEM files.
     *
     * @throws IOException with one clear sentence if a file cannot be used
     */
    public static SSLContext with(Collection<Path> pemFiles) throws IOException {
        try {
            if (pemFiles.isEmpty()) {
                return SSLContext.getDefault();
            }
            KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
            store.load(null, null);
            int number = 0;
            TrustManagerFactory defaults = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            defaults.init((KeyStore) null);
            for (TrustManager manager : defaults.getTrustManagers()) {
                if (manager instanceof X509TrustManager authorities) {
                    for (X509Certificate certificate : authorities.getAcceptedIssuers()) {
                        store.setCertificateEntry("default-" + number++, certificate);
                    }
                }
            }
            for (Path file : pemFiles) {
                try (InputStream in = Files.newInputStream(file)) {
                    for (Certificate certificate :
                            CertificateFactory.getInstance("X.509").generateCertificates(in)) {
                        store.setCertificateEntry("named-" + number++, certificate);
                    }
                } catch (IOException | GeneralSecurityException e) {
                    throw new IOException("cannot read certificates from " + file + ": " + e.getMessage(), e);
                }
            }
            TrustManagerFactory all = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            all.init(store);
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(null, all.getTrustManagers(), null);
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
