package dev.coldstart.restore.criu;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Why CRIU failed, from {@code dump.log} or {@code restore.log}. */
public final class CriuLog {
    /** Errors stand at the end; a log has some 100 bytes a line and can have many megabytes. */
    private static final int TAIL_BYTES = 256 << 10;

    private static final int SHOWN_CHARS = 300;

    private static final Pattern ERROR = Pattern.compile("Error \\([^)]*\\): (.*)");
    /** Printed when CAP_SYS_RESOURCE is missing; CRIU goes on. */
    private static final Pattern HARMLESS = Pattern.compile("rlimit: Can't setup RLIMIT_");

    /**
     * Why it failed.
     *
     * @param sentence for a user
     * @param lasting whether the same is to be expected of the next try on this host
     */
    public record Cause(String sentence, boolean lasting) {}

    private record Known(Pattern pattern, boolean lasting, Function<MatchResult, String> sentence) {
        Known(String pattern, boolean lasting, String sentence) {
            this(Pattern.compile(pattern), lasting, match -> sentence);
        }

        Known(String pattern, Function<MatchResult, String> sentence) {
            this(Pattern.compile(pattern), true, sentence);
        }
    }

    /** In this order: the first that fits the log is the cause, later ones are often its consequence. */
    private static final List<Known> KNOWN = List.of(
            new Known("No space left on device", false, "The disk is full."),
            new Known("Cannot allocate memory", false, "There is not enough memory."),
            new Known(
                    "Can't get 1:(?:16|34) opt: Operation not supported",
                    true,
                    "CRIU is too old for this kernel: from Linux 6.16 on, a process with network sockets needs CRIU 4.2 or newer."),
            new Known(
                    "(?i)vdso.*(?:unexpected|bad|fail|out of bounds)",
                    true,
                    "CRIU is too old for this kernel: it does not understand the kernel's vDSO."),
            new Known(
                    "(?:fork|clone\\d?)[^\\n]*: File exists",
                    false,
                    "A process id that the snapshot needs is taken in the container's pid namespace."),
            new Known(
                    "No mapping for ([^\\n]*?) mountpoint",
                    match -> "The container's mounts differ from the snapshot's: " + shown(match.group(1))
                            + " has no counterpart."),
            new Known(
                    "File (\\S+) has bad (size|mode)",
                    match -> "The file " + shown(match.group(1)) + " is not the one the snapshot was taken with (its "
                            + match.group(2) + " differs)."),
            new Known(
                    "Can't open file (\\S+) on restore: No such file",
                    match -> "The file " + shown(match.group(1))
                            + ", open when the snapshot was taken, does not exist."),
            new Known(
                    "Can't lookup mount=\\S+ for fd=(\\S+) path=(\\S+)",
                    match -> "A process has the file " + shown(match.group(2)) + " open as descriptor "
                            + shown(match.group(1)) + ", and that is outside the container."),
            new Known(
                    "/dev/nvidia|nvidia-uvm",
                    true,
                    "A process holds a GPU device open, and GPU memory is not part of this snapshot."),
            new Known(
                    "io_uring",
                    true,
                    "A process uses io_uring, which CRIU cannot checkpoint; deny it by seccomp or kernel.io_uring_disabled."),
            new Known(
                    "(?:External|external) socket is used|Can't dump half of (?:a )?stream unix|unix: .*peer .*(?:is|not) (?:external|found)|socket has unhandled external peer",
                    true,
                    "A process is connected to a unix socket outside the container."),
            new Known(
                    "Connected TCP socket",
                    true,
                    "A process has an established TCP connection that CRIU was told to keep."),
            new Known("In-flight connection", false, "A TCP connection was being made at that moment."),
            new Known(
                    "(?:iptables|ip6tables|nft)\\S*[^\\n]*(?:failed|exited with|No such file)",
                    true,
                    "CRIU needs iptables-restore (package iptables) for a container with its own network."),
            new Known("Address already in use", false, "An address that the snapshot's process listens on is taken."),
            new Known(
                    "Cannot assign requested address",
                    true,
                    "The snapshot's process listens on an address that this container does not have."),
            new Known(
                    "link-remap|Can't dump ghost file",
                    true,
                    "A process holds a deleted file open that CRIU cannot keep."),
            new Known(
                    "(?i)tty: |Can't dump.*(?:pts|tty)", true, "A process uses a terminal from outside the container."),
            new Known(
                    "(?i)cgroup[^\\n]*(?:fail|can't)|cg: (?:Fail|Can't)", true, "CRIU could not restore the cgroups."));

    private CriuLog() {}

    /** The cause that a log file tells; empty if there is no such file or it holds no error. */
    public static Optional<Cause> cause(Path log) {
        try (RandomAccessFile file = new RandomAccessFile(log.toFile(), "r")) {
            long start = Math.max(0, file.length() - TAIL_BYTES);
            byte[] tail = new byte[(int) (file.length() - start)];
            file.seek(start);
            file.readFully(tail);
            return cause(new String(tail, StandardCharsets.UTF_8));
        } catch (IOException e) {
            return Optional.empty();
        }
    }

    static Optional<Cause> cause(String log) {
        List<String> errors = log.lines()
                .map(ERROR::matcher)
                .filter(Matcher::find)
                .map(match -> match.group(1))
                .filter(error -> !HARMLESS.matcher(error).find())
                .toList();
        if (errors.isEmpty()) {
            return Optional.empty();
        }
        for (String error : errors) {
            for (Known known : KNOWN) {
                Matcher match = known.pattern().matcher(error);
                if (match.find()) {
                    return Optional.of(new Cause(known.sentence().apply(match), known.lasting()));
                }
            }
        }
        return Optional.of(new Cause("CRIU says: " + shown(errors.getFirst()) + ".", true));
    }

    private static String shown(String text) {
        String clean = text.strip().replaceAll("\\p{Cntrl}", " ");
        return clean.length() > SHOWN_CHARS ? clean.substring(0, SHOWN_CHARS) + "…" : clean;
    }
}
