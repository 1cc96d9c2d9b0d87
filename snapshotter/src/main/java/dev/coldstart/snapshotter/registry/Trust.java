package dev.coldstart.snapshotter.registry;

import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509ExtendedTrustManager;
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

    private static final char[] NO_PASSWORD = {};

    private final List<Path> pemFiles;
    private final SSLContext usual;

    private Trust(List<Path> pemFiles) throws IOException {
        this.pemFiles = pemFiles;
        this.usual = build(Tls.DEFAULT);
    }

    /**
     * Trusts the machine's authorities (Java's own where the machine keeps none) and the certificates in some PEM files.
     *
     * @throws IOException with one clear sentence if a file cannot be used
     */
    public static Trust with(Collection<Path> pemFiles) throws IOException {
        return new Trust(List.copyOf(pemFiles));
    }

    /**
     * A TLS context for clients, for a server with wishes of its own.
     *
     * @throws IOException with one clear sentence if a file cannot be used
     */
    SSLContext context(Tls tls) throws IOException {
        return tls.equals(Tls.DEFAULT) ? usual : build(tls);
    }

    private SSLContext build(Tls tls) throws IOException {
        try {
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(
                    keys(tls.keys()),
                    tls.skipVerify() ? new TrustManager[] {new Anybody()} : authorities(tls.authorities()),
                    null);
            return context;
        } catch (GeneralSecurityException e) {
            throw new IOException("cannot set up TLS: " + e.getMessage(), e);
        }
    }

    private TrustManager[] authorities(List<Path> more) throws IOException, GeneralSecurityException {
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
        for (Path file : more) {
            addFile(store, file);
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        return trust.getTrustManagers();
    }

    private static KeyManager[] keys(List<Tls.Key> keys) throws IOException, GeneralSecurityException {
        if (keys.isEmpty()) {
            return new KeyManager[0];
        }
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, NO_PASSWORD);
        for (Tls.Key key : keys) {
            Path file = key.key() == null ? key.certificate() : key.key();
            PrivateKey secret = PrivateKeyFile.read(file);
            store.setKeyEntry(
                    "key-" + store.size(),
                    secret,
                    NO_PASSWORD,
                    certificates(key.certificate()).toArray(Certificate[]::new));
        }
        KeyManagerFactory factory = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        factory.init(store, NO_PASSWORD);
        return factory.getKeyManagers();
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

    private static void addFile(KeyStore store, Path file) throws IOException, GeneralSecurityException {
        for (Certificate certificate : certificates(file)) {
            add(store, certificate);
        }
    }

    private static Collection<? extends Certificate> certificates(Path file) throws IOException {
        try (InputStream in = Files.newInputStream(file)) {
            return CertificateFactory.getInstance("X.509").generateCertificates(in);
        } catch (IOException | GeneralSecurityException e) {
            throw new IOException("cannot read certificates from " + file + ": " + e.getMessage(), e);
        }
    }

    private static void add(KeyStore store, Certificate certificate) throws GeneralSecurityException {
        store.setCertificateEntry("authority-" + store.size(), certificate);
    }

    /** For {@code skip_verify}: neither the chain nor the name counts. */
    private static final class Anybody extends X509ExtendedTrustManager {
        @Override
        public void checkClientTrusted(X509Certificate[] chain, String type, Socket socket) {}

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String type, Socket socket) {}

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String type, SSLEngine engine) {}

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String type, SSLEngine engine) {}

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String type) {}

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String type) {}

        @Override
        public X509Certificate[] getAcceptedIssuers() {
            return new X509Certificate[0];
        }
    }
}
