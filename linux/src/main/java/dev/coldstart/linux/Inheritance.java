package dev.coldstart.linux;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What a process has from the one that started it, for a process that was started before it was known for whom. */
public final class Inheritance {
    private static final int STANDARD_ERROR = 2;
    private static final int RLIMIT_NOFILE = 7;
    private static final long RLIM_INFINITY = -1;

    /** In the order of their numbers (include/uapi/asm-generic/resource.h), as /proc/PID/limits names them. */
    private static final List<String> LIMITS = List.of(
            "Max cpu time",
            "Max file size",
            "Max data size",
            "Max stack size",
            "Max core file size",
            "Max resident set",
            "Max processes",
            "Max open files",
            "Max locked memory",
            "Max address space",
            "Max file locks",
            "Max pending signals",
            "Max msgqueue size",
            "Max nice priority",
            "Max realtime priority",
            "Max realtime timeout");

    private static final Pattern LIMIT = Pattern.compile("(Max [a-z ]*[a-z]) +(unlimited|\\d+) +(unlimited|\\d+) .*");

    private static final MethodHandle CHDIR = Words.function("chdir");
    private static final MethodHandle DUP3 = Words.function("dup3");
    private static final MethodHandle PRLIMIT = Words.function("prlimit");

    private Inheritance() {}

    /** chdir(2). Java goes on resolving relative paths against the directory it was started in. */
    public static void workingDirectory(Path directory) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            String name = directory.toString();
            Words.check(Words.call(CHDIR, capture, Words.string(arena, name)), capture, "enter " + name);
        }
    }

    /** Puts an open file in the place of standard error. */
    public static void standardError(Descriptor file) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            long result = Words.call(DUP3, capture, file.number(), STANDARD_ERROR, 0);
            Words.check(result, capture, "make descriptor " + file.number() + " standard error");
        }
    }

    /**
     * Gives this process the resource limits that a JVM gets which another process starts: the same, but as many open
     * files as the hard limit says.
     */
    public static void limitsOf(long pid) throws IOException {
        List<String> own = Files.readAllLines(Path.of("/proc/self/limits"));
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            // struct rlimit64 { u64 rlim_cur, rlim_max; }
            MemorySegment limit = arena.allocate(JAVA_LONG, 2);
            for (String line : Files.readAllLines(Path.of("/proc/" + pid + "/limits"))) {
                if (own.contains(line) && !line.startsWith(LIMITS.get(RLIMIT_NOFILE))) {
                    continue;
                }
                Matcher matcher = LIMIT.matcher(line);
                int number = matcher.matches() ? LIMITS.indexOf(matcher.group(1)) : -1;
                if (number < 0) {
                    continue;
                }
                limit.setAtIndex(JAVA_LONG, 0, value(matcher.group(number == RLIMIT_NOFILE ? 3 : 2)));
                limit.setAtIndex(JAVA_LONG, 1, value(matcher.group(3)));
                long result = Words.call(PRLIMIT, capture, 0, number, limit.address(), 0, 0, 0);
                Words.check(result, capture, "set the limit \"" + matcher.group(1) + "\"");
            }
        }
    }

    private static long value(String text) {
        return text.equals("unlimited") ? RLIM_INFINITY : Long.parseUnsignedLong(text);
    }
}
