package dev.coldstart.snapshotter.object;

/**
 * An amount of storage as an operator writes it: {@code "80 GiB"}, {@code "0"}, or a share of what there is, {@code "80%"}.
 *
 * @param number of units, or of hundredths
 * @param unit what the number counts
 */
public record Size(long number, Unit unit) {
    /** What a size is counted in; the one whose symbol ends others comes last. */
    public enum Unit {
        KIB("KiB", 1L << 10),
        MIB("MiB", 1L << 20),
        GIB("GiB", 1L << 30),
        TIB("TiB", 1L << 40),
        PERCENT("%", 0),
        BYTE("B", 1);

        private final String symbol;
        private final long bytes;

        Unit(String symbol, long bytes) {
            this.symbol = symbol;
            this.bytes = bytes;
        }
    }

    /** Nothing. */
    public static final Size ZERO = new Size(0, Unit.BYTE);

    /** The amount in bytes, where a share is one of {@code total}. */
    public long of(long total) {
        return unit == Unit.PERCENT ? total / 100 * number : number * unit.bytes;
    }

    /**
     * Reads a whole number with one of the units B, KiB, MiB, GiB, TiB, or with {@code %}; a bare 0 needs no unit.
     *
     * @throws IllegalArgumentException with one clear sentence if this is anything else
     */
    public static Size parse(String text) {
        if (text.equals("0")) {
            return ZERO;
        }
        for (Unit unit : Unit.values()) {
            if (!text.endsWith(unit.symbol)) {
                continue;
            }
            String digits = text.substring(0, text.length() - unit.symbol.length());
            String number = digits.endsWith(" ") ? digits.substring(0, digits.length() - 1) : digits;
            if (number.matches("\\d{1,15}")) {
                long value = Long.parseLong(number);
                if (unit == Unit.PERCENT ? value <= 100 : value <= Long.MAX_VALUE / unit.bytes) {
                    return new Size(value, unit);
                }
            }
            break;
        }
        throw new IllegalArgumentException(
                "\"" + text + "\" is not a size such as \"80 GiB\", \"512 MiB\", \"80%\" or \"0\"");
    }
}
