package dev.coldstart.shim;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A command line in the form of Go's flag package: {@code -key value}, {@code -key=value}, also with two dashes, up to
 * the first word that is no flag.
 *
 * @param flags by name, without dashes
 * @param words what follows
 */
record Arguments(Map<String, String> flags, List<String> words) {
    private static final Set<String> SWITCHES = Set.of("debug", "v", "version", "info", "pool-settings");

    static Arguments parse(List<String> arguments) {
        Map<String, String> flags = new HashMap<>();
        int next = 0;
        while (next < arguments.size()) {
            String argument = arguments.get(next);
            if (!argument.startsWith("-") || argument.equals("-") || argument.equals("--")) {
                break;
            }
            next++;
            String flag = argument.substring(argument.startsWith("--") ? 2 : 1);
            int equals = flag.indexOf('=');
            if (equals >= 0) {
                flags.put(flag.substring(0, equals), flag.substring(equals + 1));
            } else if (SWITCHES.contains(flag) || next == arguments.size()) {
                flags.put(flag, "true");
            } else {
                flags.put(flag, arguments.get(next));
                next++;
            }
        }
        return new Arguments(Map.copyOf(flags), new ArrayList<>(arguments.subList(next, arguments.size())));
    }

    String required(String flag) {
        @Nullable String value = flags.get(flag);
        if (value == null || value.isEmpty()) {
            throw new IllegalArgumentException("the flag -" + flag + " is missing or empty");
        }
        return value;
    }
}
