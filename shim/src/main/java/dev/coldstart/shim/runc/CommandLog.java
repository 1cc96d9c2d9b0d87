package dev.coldstart.shim.runc;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.ObjectReadContext;
import tools.jackson.core.json.JsonFactory;

/** What a runtime writes with {@code --log FILE --log-format json}: an object {level, msg, time} a line. */
final class CommandLog {
    private CommandLog() {}

    /** The last message of level {@code error}, or an empty string. */
    static String lastError(Path log) {
        try {
            List<String> lines = Files.readAllLines(log);
            JsonFactory json = new JsonFactory();
            for (String line : lines.reversed()) {
                String message = errorIn(json, line);
                if (!message.isEmpty()) {
                    return message;
                }
            }
        } catch (IOException e) {
            // The runtime did not get as far as its log.
        }
        return "";
    }

    private static String errorIn(JsonFactory json, String line) {
        String level = "";
        String message = "";
        try (JsonParser parser = json.createParser(ObjectReadContext.empty(), line)) {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                return "";
            }
            while (parser.nextToken() == JsonToken.PROPERTY_NAME) {
                String name = parser.currentName();
                parser.nextToken();
                switch (name) {
                    case "level" -> level = parser.getString();
                    case "msg" -> message = parser.getString();
                    default -> parser.skipChildren();
                }
            }
        } catch (JacksonException e) {
            // A line cut short, or not in JSON: not a message for the user.
            return "";
        }
        return level.equals("error") ? message : "";
    }
}
