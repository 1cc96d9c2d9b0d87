package dev.coldstart.shim.runc;

import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import java.io.IOException;
import java.io.StringReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** What a runtime writes with {@code --log FILE --log-format json}: an object {level, msg, time} a line. */
final class CommandLog {
    private CommandLog() {}

    /** The last message of level {@code error}, or an empty string. */
    static String lastError(Path log) {
        try {
            List<String> lines = Files.readAllLines(log);
            for (String line : lines.reversed()) {
                String message = errorIn(line);
                if (!message.isEmpty()) {
                    return message;
                }
            }
        } catch (IOException e) {
            // The runtime did not get as far as its log.
        }
        return "";
    }

    private static String errorIn(String line) {
        String level = "";
        String message = "";
        try (JsonReader json = new JsonReader(new StringReader(line))) {
            json.setStrictness(Strictness.STRICT);
            json.beginObject();
            while (json.hasNext()) {
                switch (json.nextName()) {
                    case "level" -> level = json.nextString();
                    case "msg" -> message = json.nextString();
                    default -> json.skipValue();
                }
            }
            json.endObject();
        } catch (IOException | IllegalStateException e) {
            // A line cut short, or not in JSON: not a message for the user.
            return "";
        }
        return level.equals("error") ? message : "";
    }
}
