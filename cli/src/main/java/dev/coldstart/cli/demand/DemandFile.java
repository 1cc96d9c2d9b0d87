package dev.coldstart.cli.demand;

import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.tomlj.Toml;
import org.tomlj.TomlArray;
import org.tomlj.TomlParseResult;
import org.tomlj.TomlTable;

/** Reads a demand table from TOML. Unknown keys are refused, so that a slip of the pen is not a default. */
public final class DemandFile {
    private static final double DEFAULT_HORIZON_SECONDS = 3600;
    private static final double DEFAULT_MOVE_COST = 1;
    /** Nothing has this much, and sums of it do not overflow. */
    private static final long MAX_BYTES = 1L << 56;

    private static final Pattern SIZE = Pattern.compile("([0-9]{1,18}(?:\\.[0-9]{1,9})?)\\s*([KMGTP]i?B|B)?");
    private static final String UNITS = "KMGTP";

    private final String file;
    private final @Nullable TomlTable table;
    private final String place;
    private final Set<String> read = new TreeSet<>();

    private DemandFile(String file, @Nullable TomlTable table, String place) {
        this.file = file;
        this.table = table;
        this.place = place;
    }

    /**
     * Parses a demand table.
     *
     * @param text TOML
     * @param file how messages call it
     */
    public static Demand parse(String text, String file) throws DemandException {
        TomlParseResult result = Toml.parse(text);
        if (result.hasErrors()) {
            throw new DemandException(file + " is not TOML: " + result.errors().getFirst() + ".");
        }
        return new DemandFile(file, result, "").demand();
    }

    private Demand demand() throws DemandException {
        double horizon = number("horizon_seconds", DEFAULT_HORIZON_SECONDS);
        check(horizon > 0, "horizon_seconds must be more than 0");
        double moveCost = number("move_cost_seconds_per_gib", DEFAULT_MOVE_COST);
        DemandFile rates = section("rates");
        Demand.Rates speeds =
                new Demand.Rates(rates.positive("ram"), rates.positive("disk"), rates.positive("registry"));
        rates.nothingElse();
        Map<String, Long> groups = new LinkedHashMap<>();
        for (DemandFile group : sections("group")) {
            String name = group.text("name");
            group.check(groups.put(name, group.bytes("bytes")) == null, "the group " + name + " is given twice");
            group.nothingElse();
        }
        List<Demand.Function> functions = new ArrayList<>();
        Set<String> names = new HashSet<>();
        for (DemandFile function : sections("function")) {
            functions.add(function.function());
            String name = functions.getLast().name();
            function.check(names.add(name), "the function " + name + " is given twice");
        }
        check(!functions.isEmpty(), "there is no [[function]], so nothing to plan for");
        List<Demand.Node> nodes = new ArrayList<>();
        for (DemandFile node : sections("node")) {
            nodes.add(node.node());
            String name = nodes.getLast().name();
            node.check(
                    nodes.stream().filter(n -> n.name().equals(name)).count() == 1,
                    "the node " + name + " is given twice");
        }
        nothingElse();
        return new Demand(horizon, moveCost, speeds, functions, groups, nodes);
    }

    private Demand.Function function() throws DemandException {
        String name = text("name");
        double rate = number("cold_starts_per_hour", Double.NaN);
        double fixed = number("fixed_seconds", 0);
        List<String> images = optional("image");
        List<String> snapshots = optional("snapshot");
        List<String> groups = texts("groups");
        check(
                !images.isEmpty() || !snapshots.isEmpty() || !groups.isEmpty(),
                "the function " + name + " reads nothing: give image, snapshot or groups");
        check(new HashSet<>(groups).size() == groups.size(), "groups of " + name + " has a name twice");
        nothingElse();
        return new Demand.Function(name, rate, fixed, images, snapshots, groups);
    }

    private Demand.Node node() throws DemandException {
        String name = text("name");
        long ram = bytes("ram_bytes");
        long disk = bytes("disk_bytes");
        List<Demand.Held> holdings = new ArrayList<>();
        for (DemandFile holding : sections("holding")) {
            String group = holding.text("group");
            long total = holding.bytes("bytes_total");
            long present = holding.has("bytes_present") ? holding.bytes("bytes_present") : total;
            holding.check(present <= total, "bytes_present is more than bytes_total");
            String tier = holding.text("tier");
            holding.check(tier.equals("ram") || tier.equals("disk"), "tier must be \"ram\" or \"disk\"");
            holding.nothingElse();
            holdings.add(new Demand.Held(group, total, present, tier.equals("ram")));
        }
        nothingElse();
        return new Demand.Node(name, ram, disk, holdings);
    }

    private DemandException wrong(String sentence) {
        return new DemandException(file + (place.isEmpty() ? "" : ", " + place) + ": " + sentence + ".");
    }

    private void check(boolean condition, String sentence) throws DemandException {
        if (!condition) {
            throw wrong(sentence);
        }
    }

    private boolean has(String key) {
        read.add(key);
        return get(key) != null;
    }

    private @Nullable Object get(String key) {
        read.add(key);
        return table == null ? null : table.get(List.of(key));
    }

    private void nothingElse() throws DemandException {
        if (table == null) {
            return;
        }
        for (String key : table.keySet()) {
            check(read.contains(key), "unknown key '" + key + "'; known are: " + String.join(", ", read));
        }
    }

    private String text(String key) throws DemandException {
        Object value = get(key);
        check(value != null, key + " is missing");
        if (!(value instanceof String s) || s.isBlank()) {
            throw wrong(key + " must be a text in quotes");
        }
        return s;
    }

    private List<String> optional(String key) throws DemandException {
        return has(key) ? List.of(text(key)) : List.of();
    }

    private List<String> texts(String key) throws DemandException {
        Object value = get(key);
        if (value == null) {
            return List.of();
        }
        List<String> result = new ArrayList<>();
        if (!(value instanceof TomlArray array)) {
            throw wrong(key + " must be a list of texts");
        }
        for (int i = 0; i < array.size(); i++) {
            if (!(array.get(i) instanceof String s) || s.isBlank()) {
                throw wrong(key + " must be a list of texts");
            }
            result.add(s);
        }
        return result;
    }

    /** A finite number of at least 0; NaN as default means that it must be given. */
    private double number(String key, double otherwise) throws DemandException {
        Object value = get(key);
        if (value == null) {
            check(!Double.isNaN(otherwise), key + " is missing");
            return otherwise;
        }
        double number = switch (value) {
            case Long l -> l;
            case Double d -> d;
            default -> throw wrong(key + " must be a number");
        };
        check(Double.isFinite(number) && number >= 0, key + " must be a number of at least 0");
        return number;
    }

    private double positive(String key) throws DemandException {
        double value = number(key, Double.NaN);
        check(value > 0, key + " must be more than 0 bytes per second");
        return value;
    }

    /** A whole number of bytes, or a text such as "1.5 GiB" or "20GB". */
    private long bytes(String key) throws DemandException {
        Object value = get(key);
        check(value != null, key + " is missing");
        if (value instanceof Long l) {
            check(l >= 0 && l <= MAX_BYTES, key + " must be a number of bytes of at least 0");
            return l;
        }
        if (!(value instanceof String s)) {
            throw wrong(key + " must be a number of bytes, or a text such as \"20 GiB\"");
        }
        Matcher matcher = SIZE.matcher(s.strip());
        check(matcher.matches(), key + " must be a number of bytes, or a text such as \"20 GiB\"");
        String unit = matcher.group(2);
        BigDecimal size = new BigDecimal(matcher.group(1));
        if (unit != null && !unit.equals("B")) {
            int base = unit.length() == 3 ? 1024 : 1000;
            size = size.multiply(BigDecimal.valueOf(base).pow(1 + UNITS.indexOf(unit.charAt(0))));
        }
        check(size.compareTo(BigDecimal.valueOf(MAX_BYTES)) <= 0, key + " is too large");
        return size.longValue();
    }

    private DemandFile section(String key) throws DemandException {
        Object value = get(key);
        check(value != null, "the section [" + key + "] is missing");
        if (!(value instanceof TomlTable inner)) {
            throw wrong(key + " must be a section, [" + key + "]");
        }
        return new DemandFile(file, inner, "[" + key + "]");
    }

    private List<DemandFile> sections(String key) throws DemandException {
        Object value = get(key);
        if (value == null) {
            return List.of();
        }
        if (!(value instanceof TomlArray array)) {
            throw wrong(key + " must be given as [[" + key + "]]");
        }
        List<DemandFile> result = new ArrayList<>();
        for (int i = 0; i < array.size(); i++) {
            if (!(array.get(i) instanceof TomlTable inner)) {
                throw wrong(key + " must be given as [[" + key + "]]");
            }
            String outer = place.isEmpty() ? "" : place + " ";
            result.add(new DemandFile(file, inner, outer + "[[" + key + "]] number " + (i + 1)));
        }
        return result;
    }
}
