package dev.coldstart.cli;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Long names for people. */
final class Names {
    private static final Pattern HEX = Pattern.compile("[0-9a-f]{64}");
    private static final int SHORT = 12;

    private Names() {}

    /** With every digest cut to its first 12 digits. */
    static String shorten(String name) {
        Matcher matcher = HEX.matcher(name);
        return matcher.replaceAll(m -> m.group().substring(0, SHORT));
    }
}
