package dev.coldstart.restore.key;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.ObjectReadContext;
import tools.jackson.core.StreamReadConstraints;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.core.json.JsonFactory;

/** A JSON document of bounded size and depth. */
sealed interface Json {
    int MAX_DEPTH = 64;

    record Obj(Map<String, Json> members) implements Json {}

    record Arr(List<Json> items) implements Json {}

    record Str(String value) implements Json {}

    /** A number, true, false or null, as written. */
    record Word(String value) implements Json {}

    /**
     * Parses a document.
     *
     * @throws IllegalArgumentException with the place of what is wrong
     */
    static Json parse(byte[] document) {
        JsonFactory factory = JsonFactory.builder()
                .streamReadConstraints(StreamReadConstraints.builder()
                        .maxNestingDepth(MAX_DEPTH)
                        .maxDocumentLength(document.length)
                        .build())
                .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
                .build();
        try (JsonParser parser = factory.createParser(ObjectReadContext.empty(), document)) {
            parser.nextToken();
            Json value = value(parser);
            if (parser.nextToken() != null) {
                throw new IllegalArgumentException("more than one document");
            }
            return value;
        } catch (JacksonException e) {
            throw new IllegalArgumentException(e.getOriginalMessage(), e);
        }
    }

    private static Json value(JsonParser parser) {
        JsonToken token = parser.currentToken();
        return switch (token) {
            case START_OBJECT -> {
                Map<String, Json> members = new LinkedHashMap<>();
                while (parser.nextToken() == JsonToken.PROPERTY_NAME) {
                    String name = parser.currentName();
                    parser.nextToken();
                    members.put(name, value(parser));
                }
                yield new Obj(members);
            }
            case START_ARRAY -> {
                List<Json> items = new ArrayList<>();
                while (parser.nextToken() != JsonToken.END_ARRAY) {
                    items.add(value(parser));
                }
                yield new Arr(items);
            }
            case VALUE_STRING -> new Str(parser.getString());
            case VALUE_NUMBER_INT, VALUE_NUMBER_FLOAT, VALUE_TRUE, VALUE_FALSE, VALUE_NULL ->
                new Word(parser.getString());
            case null, default -> throw new IllegalArgumentException("the document ends too early");
        };
    }

    /** The member {@code name} if this is an object that has it. */
    default @Nullable Json get(String name) {
        return this instanceof Obj(Map<String, Json> members) ? members.get(name) : null;
    }

    /** The members along a path of names; an empty object where there is none. */
    default Json at(String... path) {
        Json value = this;
        for (String name : path) {
            Json next = value.get(name);
            if (next == null) {
                return new Obj(Map.of());
            }
            value = next;
        }
        return value;
    }

    default List<Json> items() {
        return this instanceof Arr(List<Json> items) ? items : List.of();
    }

    /** A string's or word's text; empty for anything else. */
    default String text() {
        return switch (this) {
            case Str(String value) -> value;
            case Word(String value) -> value.equals("null") ? "" : value;
            case Obj _, Arr _ -> "";
        };
    }

    default List<String> texts() {
        return items().stream().map(Json::text).toList();
    }

    /** The document with members in order of their names and no white space, so that equal documents are equal texts. */
    default void canonical(StringBuilder out) {
        switch (this) {
            case Obj(Map<String, Json> members) -> {
                out.append('{');
                new TreeMap<>(members).forEach((name, value) -> {
                    quoted(name, out);
                    out.append(':');
                    value.canonical(out);
                    out.append(',');
                });
                out.append('}');
            }
            case Arr(List<Json> items) -> {
                out.append('[');
                for (Json item : items) {
                    item.canonical(out);
                    out.append(',');
                }
                out.append(']');
            }
            case Str(String value) -> quoted(value, out);
            case Word(String value) -> out.append(value);
        }
    }

    private static void quoted(String text, StringBuilder out) {
        out.append('"').append(text.replace("\\", "\\\\").replace("\"", "\\\"")).append('"');
    }
}
