package dev.coldstart.integration.start;

import dev.coldstart.integration.host.HostException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * An answer of the model server.
 *
 * @param prediction what the model says, as printed
 * @param instance drawn when the process initialised itself
 * @param initialised how often it did
 */
public record Prediction(String prediction, String instance, int initialised) {
    private static final Pattern ANSWER = Pattern.compile(
            "\\{\"prediction\": (\\[[^]]+]), \"instance\": \"([0-9a-f-]{36})\", \"initialised\": ([0-9]+)}");

    public static Prediction parse(String answer) {
        Matcher matcher = ANSWER.matcher(answer.strip());
        if (!matcher.matches()) {
            throw new HostException("the model server answered: " + answer);
        }
        return new Prediction(matcher.group(1), matcher.group(2), Integer.parseInt(matcher.group(3)));
    }
}
