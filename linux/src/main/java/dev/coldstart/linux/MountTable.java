package dev.coldstart.linux;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** What is mounted, in the order of mounting: /proc/PID/mountinfo (Documentation/filesystems/proc.rst §3.5). */
public final class MountTable {
    private MountTable() {}

    /**
     * One mount.
     *
     * @param root the directory of the file system that is the mount's root
     * @param propagation the optional fields, such as {@code shared:12}; empty for a private mount
     * @param options per-mount options, comma separated
     * @param source what was given to mount(2) as source; for EROFS mounted from a file, the file's path
     * @param superOptions the file system's options, comma separated
     */
    public record Entry(
            int id,
            int parent,
            String device,
            String root,
            String mountPoint,
            String options,
            List<String> propagation,
            String type,
            String source,
            String superOptions) {
        /** The file that the file system lies in: its source, or what is behind that if it is a loop device. */
        public String image() throws IOException {
            return LoopDevice.backingFile(source);
        }
    }

    /** The mounts that this process sees. */
    public static List<Entry> read() throws IOException {
        return read(Path.of("/proc/self/mountinfo"));
    }

    /** The mounts in a mountinfo file. Lines that do not have the documented form are an error. */
    public static List<Entry> read(Path mountinfo) throws IOException {
        List<Entry> entries = new ArrayList<>();
        for (String line :
                Files.readString(mountinfo, StandardCharsets.UTF_8).lines().toList()) {
            entries.add(parse(line));
        }
        return entries;
    }

    static Entry parse(String line) throws IOException {
        List<String> fields = List.of(line.split(" ", -1));
        int separator = fields.indexOf("-");
        if (separator < 6 || fields.size() < separator + 4) {
            throw new IOException("cannot parse this line of mountinfo: " + line);
        }
        try {
            return new Entry(
                    Integer.parseInt(fields.get(0)),
                    Integer.parseInt(fields.get(1)),
                    fields.get(2),
                    unescape(fields.get(3)),
                    unescape(fields.get(4)),
                    fields.get(5),
                    List.copyOf(fields.subList(6, separator)),
                    fields.get(separator + 1),
                    unescape(fields.get(separator + 2)),
                    unescape(fields.get(separator + 3)));
        } catch (NumberFormatException e) {
            throw new IOException("cannot parse this line of mountinfo: " + line, e);
        }
    }

    /** The kernel writes space, tab, newline and backslash as three octal digits. */
    private static String unescape(String field) {
        if (field.indexOf('\\') < 0) {
            return field;
        }
        StringBuilder out = new StringBuilder(field.length());
        for (int i = 0; i < field.length(); i++) {
            char c = field.charAt(i);
            if (c == '\\'
                    && i + 3 < field.length()
                    && field.substring(i + 1, i + 4).matches("[0-7]{3}")) {
                out.append((char) Integer.parseInt(field.substring(i + 1, i + 4), 8));
                i += 3;
            } else {
                out.append(c);
            }
        }
        return out.toString();
    }
}
