package dev.coldstart.snapshotter.registry;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What a {@code WWW-Authenticate} header asks for (RFC 9110, 11.6.1).
 *
 * @param scheme in lower case
 * @param parameters by name in lower case
 */
record Challenge(String scheme, Map<String, String> parameters) {
    private static final int MOST = 32;

    Challenge {
        parameters = Map.copyOf(parameters);
    }

    /** All challenges of an answer, each header with one or more; what cannot be read is passed over. */
    static List<Challenge> parse(List<String> headers) {
        List<Challenge> all = new ArrayList<>();
        for (String header : headers) {
            new Reader(header).into(all);
        }
        return all;
    }

    /** The one that we answer best; null if none. */
    static @Nullable Challenge best(List<String> headers) {
        List<Challenge> all = parse(headers);
        for (String scheme : List.of("bearer", "basic")) {
            for (Challenge challenge : all) {
                if (challenge.scheme().equals(scheme)) {
                    return challenge;
                }
            }
        }
        return null;
    }

    boolean bearer() {
        return scheme.equals("bearer");
    }

    private static final class Reader {
        private final String text;
        private int at;

        Reader(String text) {
            this.text = text;
        }

        void into(List<Challenge> all) {
            String scheme = null;
            Map<String, String> parameters = new HashMap<>();
            while (at < text.length() && all.size() < MOST) {
                skip(" \t,");
                String word = token();
                if (word.isEmpty()) {
                    break;
                }
                skip(" \t");
                boolean parameter = at < text.length() && text.charAt(at) == '=';
                if (!parameter) {
                    // A word by itself begins the next challenge.
                    if (scheme != null) {
                        all.add(new Challenge(scheme, parameters));
                    }
                    scheme = word.toLowerCase(Locale.ROOT);
                    parameters = new HashMap<>();
                    continue;
                }
                at++;
                skip(" \t");
                String value = at < text.length() && text.charAt(at) == '"' ? quoted() : token();
                if (scheme != null) {
                    parameters.putIfAbsent(word.toLowerCase(Locale.ROOT), value);
                }
            }
            if (scheme != null) {
                all.add(new Challenge(scheme, parameters));
            }
        }

        private void skip(String characters) {
            while (at < text.length() && characters.indexOf(text.charAt(at)) >= 0) {
                at++;
            }
        }

        /** Also of what should have been quoted, such as an address. */
        private String token() {
            int from = at;
            while (at < text.length() && " \t,=\"".indexOf(text.charAt(at)) < 0) {
                at++;
            }
            return text.substring(from, at);
        }

        private String quoted() {
            StringBuilder value = new StringBuilder();
            at++;
            while (at < text.length() && text.charAt(at) != '"') {
                if (text.charAt(at) == '\\' && at + 1 < text.length()) {
                    at++;
                }
                value.append(text.charAt(at++));
            }
            at++;
            return value.toString();
        }
    }
}
