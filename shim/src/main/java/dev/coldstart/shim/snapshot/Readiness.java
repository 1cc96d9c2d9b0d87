package dev.coldstart.shim.snapshot;

import java.time.Duration;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/** When a container is ready to be snapshotted: the annotation {@code coldstart.dev/ready}. */
public sealed interface Readiness {
    /** The container answers an HTTP GET with a status below 400. */
    record Http(int port, String path) implements Readiness {}

    /** A line of its stdout or stderr matches somewhere. */
    record Log(Pattern pattern) implements Readiness {}

    /** A file exists in the container. */
    record File(String path) implements Readiness {}

    /** Some time has passed since its start. */
    record After(Duration time) implements Readiness {}

    /**
     * Reads {@code http::PORT/PATH}, {@code log:REGEX}, {@code file:/PATH} or {@code after:SECONDSs}.
     *
     * @throws IllegalArgumentException with one sentence
     */
    static Readiness parse(String value) {
        int colon = value.indexOf(':');
        String kind = colon < 0 ? value : value.substring(0, colon);
        String rest = colon < 0 ? "" : value.substring(colon + 1);
        return switch (kind) {
            case "http" -> http(value, rest);
            case "log" -> log(value, rest);
            case "file" -> {
                if (!rest.startsWith("/")) {
                    throw wrong(value);
                }
                yield new File(rest);
            }
            case "after" -> {
                if (!rest.matches("[0-9]{1,6}s")) {
                    throw wrong(value);
                }
                yield new After(Duration.ofSeconds(Integer.parseInt(rest.substring(0, rest.length() - 1))));
            }
            default -> throw wrong(value);
        };
    }

    private static Readiness http(String value, String rest) {
        int slash = rest.indexOf('/');
        String port = slash < 0 ? rest : rest.substring(0, slash);
        String path = slash < 0 ? "/" : rest.substring(slash);
        // No space or control character may reach the request line.
        if (!port.matches(":[0-9]{1,5}") || !path.matches("[!-~]+")) {
            throw wrong(value);
        }
        int number = Integer.parseInt(port.substring(1));
        if (number < 1 || number > 65535) {
            throw wrong(value);
        }
        return new Http(number, path);
    }

    private static Readiness log(String value, String rest) {
        try {
            if (!rest.isEmpty()) {
                return new Log(Pattern.compile(rest));
            }
        } catch (PatternSyntaxException e) {
            throw new IllegalArgumentException(
                    "coldstart.dev/ready has the value \"" + value + "\", whose pattern is not a regular expression ("
                            + e.getDescription() + ").",
                    e);
        }
        throw wrong(value);
    }

    private static IllegalArgumentException wrong(String value) {
        return new IllegalArgumentException("coldstart.dev/ready has the value \"" + value
                + "\"; it takes http::PORT/PATH, log:REGEX, file:/PATH or after:SECONDSs.");
    }
}
