package dev.coldstart.linux;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.io.ByteArrayOutputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * Starting a program with posix_spawn(3): the child has exactly the descriptors given here, no signal blocked or
 * ignored, and is this process's to reap ({@link Waiting}).
 */
public final class Spawn {
    // glibc: posix_spawn_file_actions_t is 80 bytes, posix_spawnattr_t 336, sigset_t 128; all with room to spare.
    private static final long FILE_ACTIONS_BYTES = 128;
    private static final long ATTRIBUTES_BYTES = 512;
    private static final long SIGSET_BYTES = 128;
    private static final int POSIX_SPAWN_SETSIGDEF = 4;
    private static final int POSIX_SPAWN_SETSIGMASK = 8;
    // Sources are moved above every target first, so that no target overwrites a source still needed.
    private static final int ABOVE_TARGETS = 64;

    private static final MethodHandle SPAWNP = Words.function("posix_spawnp");
    private static final MethodHandle ACTIONS_INIT = Words.function("posix_spawn_file_actions_init");
    private static final MethodHandle ACTIONS_DESTROY = Words.function("posix_spawn_file_actions_destroy");
    private static final MethodHandle ADD_OPEN = Words.function("posix_spawn_file_actions_addopen");
    private static final MethodHandle ADD_DUP2 = Words.function("posix_spawn_file_actions_adddup2");
    private static final MethodHandle ADD_CHDIR = Words.function("posix_spawn_file_actions_addchdir_np");
    private static final MethodHandle ADD_CLOSE_FROM = Words.function("posix_spawn_file_actions_addclosefrom_np");
    private static final MethodHandle ATTRIBUTES_INIT = Words.function("posix_spawnattr_init");
    private static final MethodHandle ATTRIBUTES_DESTROY = Words.function("posix_spawnattr_destroy");
    private static final MethodHandle SET_FLAGS = Words.function("posix_spawnattr_setflags");
    private static final MethodHandle SET_MASK = Words.function("posix_spawnattr_setsigmask");
    private static final MethodHandle SET_DEFAULT = Words.function("posix_spawnattr_setsigdefault");
    private static final MethodHandle FILL_SET = Words.function("sigfillset");

    private final List<String> command;
    private String file;
    private final Map<String, String> environment = new LinkedHashMap<>();
    private final SortedMap<Integer, Descriptor> descriptors = new TreeMap<>();
    private Path directory = Path.of("/");

    /** @param command the program (looked up in PATH if it has no slash) and its arguments */
    public Spawn(List<String> command) {
        this.command = List.copyOf(command);
        file = command.getFirst();
    }

    /** What is executed, if that is not the program by its name, which it sees as its first argument nevertheless. */
    public Spawn executable(String path) {
        file = path;
        return this;
    }

    /** Adds to the child's environment, which is empty at first. */
    public Spawn environment(Map<String, String> variables) {
        environment.putAll(variables);
        return this;
    }

    /** Where the child runs; {@code /} unless set. */
    public Spawn directory(Path where) {
        directory = where;
        return this;
    }

    /** Gives the child a descriptor under a number; 0 to 2 are {@code /dev/null} unless given. */
    public Spawn descriptor(int number, Descriptor descriptor) {
        if (number >= ABOVE_TARGETS) {
            throw new IllegalArgumentException("descriptor " + number + " is above " + ABOVE_TARGETS);
        }
        descriptors.put(number, descriptor);
        return this;
    }

    /** Starts the child; its process id. */
    public int start() throws LinuxException {
        List<Descriptor> sources = new ArrayList<>();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            long actions = arena.allocate(FILE_ACTIONS_BYTES, 16).address();
            long attributes = arena.allocate(ATTRIBUTES_BYTES, 16).address();
            succeed(Words.call(ACTIONS_INIT, capture, actions));
            succeed(Words.call(ATTRIBUTES_INIT, capture, attributes));
            try {
                signals(arena, capture, attributes);
                succeed(Words.call(ADD_CHDIR, capture, actions, Words.string(arena, directory.toString()), 0));
                long devNull = Words.string(arena, "/dev/null");
                for (int target = 0; target <= 2; target++) {
                    if (!descriptors.containsKey(target)) {
                        succeed(Words.call(ADD_OPEN, capture, actions, target, devNull, Descriptor.O_RDWR, 0, 0));
                    }
                }
                int highest = 2;
                for (Map.Entry<Integer, Descriptor> entry : descriptors.entrySet()) {
                    Descriptor source = entry.getValue().duplicate(ABOVE_TARGETS);
                    sources.add(source);
                    succeed(Words.call(ADD_DUP2, capture, actions, source.number(), entry.getKey()));
                    highest = Math.max(highest, entry.getKey());
                }
                // The JVM opens most of its files without O_CLOEXEC.
                succeed(Words.call(ADD_CLOSE_FROM, capture, actions, highest + 1, 0));
                MemorySegment pid = arena.allocate(JAVA_INT);
                long argv = array(arena, command);
                long envp = array(
                        arena,
                        environment.entrySet().stream()
                                .map(e -> e.getKey() + "=" + e.getValue())
                                .toList());
                int error = (int) Words.call(
                        SPAWNP, capture, pid.address(), Words.string(arena, file), actions, attributes, argv, envp);
                succeed(error);
                return pid.get(JAVA_INT, 0);
            } finally {
                Words.call(ACTIONS_DESTROY, capture, actions);
                Words.call(ATTRIBUTES_DESTROY, capture, attributes);
            }
        } finally {
            sources.forEach(Descriptor::close);
        }
    }

    private void signals(Arena arena, MemorySegment capture, long attributes) throws LinuxException {
        long none = arena.allocate(SIGSET_BYTES, 8).address();
        long all = arena.allocate(SIGSET_BYTES, 8).address();
        succeed(Words.call(FILL_SET, capture, all));
        succeed(Words.call(SET_MASK, capture, attributes, none, 0));
        succeed(Words.call(SET_DEFAULT, capture, attributes, all, 0));
        succeed(Words.call(SET_FLAGS, capture, attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK, 0));
    }

    /** These functions return the errno instead of setting it. */
    private void succeed(long result) throws LinuxException {
        if ((int) result != 0) {
            throw new LinuxException("run " + String.join(" ", command), (int) result);
        }
    }

    /** A null-terminated array of C strings, in one piece: each piece of memory costs a call and its clearing. */
    private static long array(Arena arena, List<String> values) {
        ByteArrayOutputStream text = new ByteArrayOutputStream();
        long[] pointers = new long[values.size() + 1];
        for (int i = 0; i < values.size(); i++) {
            pointers[i] = text.size();
            text.writeBytes(values.get(i).getBytes(StandardCharsets.UTF_8));
            text.write(0);
        }
        long strings = arena.allocateFrom(JAVA_BYTE, text.toByteArray()).address();
        for (int i = 0; i < values.size(); i++) {
            pointers[i] += strings;
        }
        return arena.allocateFrom(JAVA_LONG, pointers).address();
    }
}
