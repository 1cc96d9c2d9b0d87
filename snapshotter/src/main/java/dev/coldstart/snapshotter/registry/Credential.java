package dev.coldstart.snapshotter.registry;

import java.nio.charset.StandardCharsets;
import java.util.Base64;
import org.jspecify.annotations.Nullable;

/** What shows a registry who asks. None of it is ever printed. */
sealed interface Credential {
    /** A user's name and password. */
    record Password(String user, String password) implements Credential {
        /** What follows {@code Basic } in an Authorization header (RFC 7617). */
        String basic() {
            return Base64.getEncoder().encodeToString((user + ":" + password).getBytes(StandardCharsets.UTF_8));
        }

        @Override
        public String toString() {
            return "a password";
        }
    }

    /** What a token server gives short-lived tokens for (OAuth 2's refresh token). */
    record IdentityToken(String token) implements Credential {
        @Override
        public String toString() {
            return "an identity token";
        }
    }

    /** What the registry itself takes, as it is. */
    record RegistryToken(String token) implements Credential {
        @Override
        public String toString() {
            return "a registry token";
        }
    }

    /**
     * What docker's, Kubernetes' and the CRI's records of a login say; empty fields count as absent.
     *
     * @param auth Base64 of USER:PASSWORD
     * @return null if they say nothing usable
     */
    static @Nullable Credential of(
            String user, String password, String auth, String identityToken, String registryToken) {
        if (isToken(registryToken)) {
            return new RegistryToken(registryToken);
        }
        if (!identityToken.isEmpty()) {
            return new IdentityToken(identityToken);
        }
        if (!user.isEmpty() && !password.isEmpty()) {
            return new Password(user, password);
        }
        try {
            String both = new String(Base64.getDecoder().decode(auth.strip()), StandardCharsets.UTF_8);
            int colon = both.indexOf(':');
            if (colon > 0) {
                return new Password(
                        both.substring(0, colon), both.substring(colon + 1).replace("\0", ""));
            }
        } catch (IllegalArgumentException e) {
            // Not Base64: said by whoever knows the file.
            return null;
        }
        return null;
    }

    /** Whether this can stand in an Authorization header. */
    static boolean isToken(String text) {
        return !text.isEmpty() && text.chars().allMatch(c -> c > ' ' && c < 127);
    }
}
