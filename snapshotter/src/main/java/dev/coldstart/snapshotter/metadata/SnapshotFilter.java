package dev.coldstart.snapshotter.metadata;

import dev.coldstart.snapshotter.metadata.SnapshotException.Reason;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.function.Predicate;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import org.jspecify.annotations.Nullable;

/**
 * containerd's filter language (pkg/filters) on snapshots: selectors joined by commas must all hold; a selector is a path,
 * optionally an operator ({@code ==}, {@code !=}, {@code ~=}) and a value; paths are {@code name}, {@code parent},
 * {@code kind} and {@code labels.KEY}, parts may be quoted.
 */
public final class SnapshotFilter {
    private static final int MAX_LENGTH = 64 << 10;

    private final String text;
    private int at;

    private SnapshotFilter(String text) {
        this.text = text;
    }

    /** What any one of the filters accepts; with no filters, everything. */
    public static Predicate<Snapshot> anyOf(List<String> filters) throws SnapshotException {
        List<Predicate<Snapshot>> parsed = new ArrayList<>();
        for (String filter : filters) {
            parsed.add(parse(filter));
        }
        return parsed.isEmpty()
                ? snapshot -> true
                : snapshot -> parsed.stream().anyMatch(filter -> filter.test(snapshot));
    }

    /** One filter; an empty one accepts everything. */
    public static Predicate<Snapshot> parse(String filter) throws SnapshotException {
        if (filter.length() > MAX_LENGTH) {
            throw new SnapshotException(Reason.INVALID_ARGUMENT, "a filter is longer than " + MAX_LENGTH);
        }
        return new SnapshotFilter(filter).selectors();
    }

    private Predicate<Snapshot> selectors() throws SnapshotException {
        if (text.isBlank()) {
            return snapshot -> true;
        }
        Predicate<Snapshot> all = snapshot -> true;
        while (true) {
            all = all.and(selector());
            skipSpace();
            if (at == text.length()) {
                return all;
            }
            if (text.charAt(at) != ',') {
                throw wrong("expected a comma");
            }
            at++;
        }
    }

    private Predicate<Snapshot> selector() throws SnapshotException {
        List<String> path = new ArrayList<>();
        path.add(field());
        while (at < text.length() && text.charAt(at) == '.') {
            at++;
            path.add(field());
        }
        skipSpace();
        if (at + 1 >= text.length() || text.charAt(at + 1) != '=' || "=!~".indexOf(text.charAt(at)) < 0) {
            if (at < text.length() && text.charAt(at) != ',') {
                throw wrong("expected an operator");
            }
            return snapshot -> value(snapshot, path) != null;
        }
        char operator = text.charAt(at);
        at += 2;
        skipSpace();
        String value = operand(operator == '~');
        return switch (operator) {
            case '=' -> snapshot -> value.equals(value(snapshot, path));
            // An absent field differs from everything, as in containerd.
            case '!' -> snapshot -> !value.equals(value(snapshot, path));
            default -> {
                Pattern pattern = pattern(value);
                // An absent field is an empty one, as in containerd.
                yield snapshot -> pattern.matcher(Objects.requireNonNullElse(value(snapshot, path), ""))
                        .find();
            }
        };
    }

    /** The field's value; null if there is no such field. */
    private static @Nullable String value(Snapshot snapshot, List<String> path) {
        return switch (path.getFirst()) {
            case "name" -> path.size() == 1 ? snapshot.name() : null;
            case "parent" -> path.size() == 1 ? snapshot.parent() : null;
            case "kind" -> path.size() == 1 ? snapshot.kind().name().toLowerCase(Locale.ROOT) : null;
            case "labels" ->
                path.size() == 1 ? null : snapshot.labels().get(String.join(".", path.subList(1, path.size())));
            default -> null;
        };
    }

    private Pattern pattern(String value) throws SnapshotException {
        try {
            return Pattern.compile(value);
        } catch (PatternSyntaxException e) {
            throw wrong("\"" + value + "\" is not a regular expression");
        }
    }

    private String field() throws SnapshotException {
        skipSpace();
        if (at < text.length() && text.charAt(at) == '"') {
            return quoted('"');
        }
        int start = at;
        while (at < text.length() && (Character.isLetterOrDigit(text.charAt(at)) || text.charAt(at) == '_')) {
            at++;
        }
        if (start == at) {
            throw wrong("expected a field");
        }
        return text.substring(start, at);
    }

    private String operand(boolean expression) throws SnapshotException {
        if (at < text.length()) {
            char c = text.charAt(at);
            if (c == '"' || (expression && (c == '/' || c == '|'))) {
                return quoted(c);
            }
        }
        int start = at;
        while (at < text.length() && text.charAt(at) != ',' && !Character.isWhitespace(text.charAt(at))) {
            at++;
        }
        if (start == at) {
            throw wrong("expected a value");
        }
        return text.substring(start, at);
    }

    /** A Go string literal; between slashes or bars only the delimiter itself can be escaped. */
    private String quoted(char quote) throws SnapshotException {
        at++;
        StringBuilder value = new StringBuilder();
        while (at < text.length()) {
            char c = text.charAt(at++);
            if (c == quote) {
                return value.toString();
            }
            if (c != '\\') {
                value.append(c);
                continue;
            }
            if (at == text.length()) {
                break;
            }
            char escaped = text.charAt(at++);
            if (quote != '"') {
                if (escaped != quote) {
                    value.append(c);
                }
                value.append(escaped);
                continue;
            }
            switch (escaped) {
                case 'a' -> value.append('\u0007');
                case 'b' -> value.append('\b');
                case 'f' -> value.append('\f');
                case 'n' -> value.append('\n');
                case 't' -> value.append('\t');
                case 'r' -> value.append('\r');
                case 'v' -> value.append('\u000b');
                case 'x' -> value.append((char) number(2, 16));
                case 'u' -> value.append((char) number(4, 16));
                case 'U' -> value.appendCodePoint(codePoint(number(8, 16)));
                case '0', '1', '2', '3' -> {
                    at--;
                    value.append((char) number(3, 8));
                }
                case '\\', '"', '\'' -> value.append(escaped);
                default -> throw wrong("unknown escape \\" + escaped);
            }
        }
        throw wrong("unterminated quote");
    }

    private int number(int digits, int base) throws SnapshotException {
        if (at + digits > text.length()) {
            throw wrong("cut escape");
        }
        try {
            int number = Integer.parseUnsignedInt(text, at, at + digits, base);
            at += digits;
            return number;
        } catch (NumberFormatException e) {
            throw wrong("bad escape");
        }
    }

    private int codePoint(int number) throws SnapshotException {
        if (!Character.isValidCodePoint(number)) {
            throw wrong("bad escape");
        }
        return number;
    }

    private void skipSpace() {
        while (at < text.length() && Character.isWhitespace(text.charAt(at))) {
            at++;
        }
    }

    private SnapshotException wrong(String what) {
        return new SnapshotException(
                Reason.INVALID_ARGUMENT, "filter \"" + text + "\" is wrong at character " + at + ": " + what);
    }
}
