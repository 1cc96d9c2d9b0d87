package dev.coldstart.shim.task;

import com.google.protobuf.Any;
import dev.coldstart.proto.containerd.runc.Options;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;

/**
 * A script in runc's place, for what a real runtime does not do on demand: fail, or take its time, at a chosen command. Its container is a
 * shell that runs a file of the bundle.
 */
record ScriptedRuntime(Path binary, Path bundle) {
    private static final String SCRIPT = """
            #!/bin/sh
            log='' pid_file='' verb='' signal='' resources=''
            echo "$*" >>calls
            while [ $# -gt 0 ]; do
                case $1 in
                    --log) log=$2; shift ;;
                    --root|--log-format|--bundle|--process) shift ;;
                    --resources) resources=$2; shift ;;
                    --pid-file) pid_file=$2; shift ;;
                    -*) ;;
                    create|start|exec|kill|delete|pause|resume|update) verb=$1 ;;
                    *) signal=$1 ;;
                esac
                shift
            done
            while [ -e "hold-$verb" ]; do : >"in-$verb"; sleep 0.01; done
            # A shell gives its background processes no stdin.
            exec 3<&0
            if [ -e "fail-$verb" ]; then
                printf '{"level":"info","msg":"x"}\\n{"level":"error","msg":"%s"}\\n' "$(cat "fail-$verb")" >"$log"
                exit 1
            fi
            case $verb in
                create) sh ./init <&3 3<&- & printf %s $! >"$pid_file" ;;
                start) : >started ;;
                exec) sh ./exec <&3 3<&- & printf %s $! >"$pid_file" ;;
                update) cp "$resources" updated ;;
                kill) kill -"$signal" "$(cat init.pid)" ;;
                delete) kill -KILL "$(cat init.pid)" 2>/dev/null ;;
            esac
            exit 0
            """;

    /** Puts the script and a bundle into an empty directory. */
    static ScriptedRuntime in(Path directory) throws IOException {
        Path bundle = Files.createDirectories(directory.resolve("bundle"));
        Path binary = Files.writeString(directory.resolve("runtime"), SCRIPT);
        Files.setPosixFilePermissions(binary, PosixFilePermissions.fromString("rwx------"));
        Files.writeString(
                bundle.resolve("config.json"),
                "{\"linux\":{\"namespaces\":[{\"type\":\"pid\"}]},\"annotations\":{\"a\":\"b\"}}");
        ScriptedRuntime runtime = new ScriptedRuntime(binary, bundle);
        runtime.init("exec sleep 1000");
        runtime.exec("exec sleep 1000");
        return runtime;
    }

    /** What the container's first process does once it is started. */
    void init(String script) throws IOException {
        Files.writeString(bundle.resolve("init"), "while [ ! -e started ]; do sleep 0.01; done\n" + script + "\n");
    }

    void exec(String script) throws IOException {
        Files.writeString(bundle.resolve("exec"), "sleep 0.05\n" + script + "\n");
    }

    void failAt(String verb, String message) throws IOException {
        Files.writeString(bundle.resolve("fail-" + verb), message);
    }

    /** Until {@link #release} the command does not go on. */
    void holdAt(String verb) throws IOException {
        Files.createFile(bundle.resolve("hold-" + verb));
    }

    /** Whether a command is being held. */
    boolean holds(String verb) {
        return Files.exists(bundle.resolve("in-" + verb));
    }

    void release(String verb) throws IOException {
        Files.delete(bundle.resolve("hold-" + verb));
    }

    /** The command lines so far. */
    List<String> calls() throws IOException {
        return Files.readAllLines(bundle.resolve("calls"));
    }

    Any options() {
        return Any.newBuilder()
                .setTypeUrl("containerd.runc.v1.Options")
                .setValue(Options.newBuilder()
                        .setBinaryName(binary.toString())
                        .setRoot(bundle.resolve("root").toString())
                        .build()
                        .toByteString())
                .build();
    }
}
