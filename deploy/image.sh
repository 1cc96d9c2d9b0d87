#!/bin/sh
# Makes target/coldstart, what install.sh installs: a Java runtime with the modules the programs use, their jars, a launcher
# and an AOT cache for each. Called by the build, in phase package, with JAVA_HOME set.
#   image.sh VERSION GLPK_JAR GLPK_NATIVE
# An AOT cache is what a JVM would otherwise do at each start: classes read, verified, linked, and methods watched before they
# are compiled well (JEP 515). It is recorded in a real run of the program, and stays valid where the whole directory is moved,
# as the JVM compares jars by size, time and relative place.
set -eu

version=$1 glpk_jar=$2 glpk_native=$3
here=$(cd "$(dirname "$0")" && pwd)
repo=$(dirname "$here")
out=$here/target/coldstart
work=$here/target/training

# java.management: netty and the logging of a pid. jdk.net: credentials of a unix socket's peer.
modules=java.base,java.logging,java.management,java.naming,java.net.http,jdk.httpserver,jdk.net,jdk.unsupported
# SerialGC and no perf data: small and soon there. The JVM's own messages would go to stdout, which containerd reads.
flags="-XX:+UseSerialGC -XX:-UsePerfData -Xlog:disable -Xlog:all=warning:stderr --enable-native-access=ALL-UNNAMED"
# Programs that live for seconds, or wait: the first compiler is all they need.
short="-XX:TieredStopAtLevel=1"

die() {
    echo "deploy/image.sh: $*" >&2
    exit 1
}

# module_of, main_of, flags_of PROGRAM
module_of() {
    case $1 in
    coldstart) echo cli ;;
    coldstart-snapshotter) echo snapshotter ;;
    coldstart-planner) echo glpk-planner ;;
    coldstart-shim) echo shim ;;
    esac
}

main_of() {
    case $1 in
    coldstart) echo dev.coldstart.cli.Main ;;
    coldstart-snapshotter) echo dev.coldstart.snapshotter.SnapshotterMain ;;
    coldstart-planner) echo dev.coldstart.planner.PlannerMain ;;
    coldstart-shim) echo dev.coldstart.shim.ShimMain ;;
    esac
}

flags_of() {
    case $1 in
    coldstart) echo "$flags $short" ;;
    # One for each pod, and it lives as long as the pod does: memory counts. The cache is mapped where it was made for, not moved
    # to a random address, so that its pages stay the file's, which all shims share; everything else is placed at random as
    # ever. Compiling takes memory, and time in which a container waits: it is left for what runs often, without inlining, and
    # not begun at once for what ran in training; the C library gives back what it took. Sockets' provider is named, as looking
    # for others opens all jars. Pollers that are threads, and reflection without method handles, generate no classes at boot.
    # No collection is needed before the first container runs.
    coldstart-shim)
        echo "$flags $short -Xms8m -Xmn4m -Xmx64m -XX:-Inline -XX:Tier3InvocationThreshold=1000" \
            "-XX:Tier3MinInvocationThreshold=500 -XX:Tier3CompileThreshold=5000 -XX:TrimNativeHeapInterval=10000" \
            "-XX:+UnlockDiagnosticVMOptions -XX:ArchiveRelocationMode=0 -XX:-AOTReplayTraining" \
            "-Djava.nio.channels.spi.SelectorProvider=sun.nio.ch.EPollSelectorProvider" \
            "-Djdk.pollerMode=1 -Djdk.reflect.useNativeAccessorOnly=true"
        ;;
    coldstart-planner) echo "$flags -Djava.library.path=$glpk_native" ;;
    # jnr-fuse's libraries use Unsafe, and the JVM would warn of it. Much memory is needed only while a layer is read for the
    # first time, or bytes are fetched: what is freed goes back to the system, at once. The heap never shrinks below the size it
    # begins with, which would be a share of the machine's memory; the C library gives nothing back unless it is told to.
    coldstart-snapshotter)
        echo "$flags --sun-misc-unsafe-memory-access=allow -Xms24m -Xmn16m" \
            "-XX:MinHeapFreeRatio=10 -XX:MaxHeapFreeRatio=25 -XX:-ShrinkHeapInSteps -XX:TrimNativeHeapInterval=5000"
        ;;
    esac
}

# Copies the program's jars; prints them as a class path that begins with $home/lib.
jars() {
    module=$(module_of "$1")
    cp=
    for jar in "$repo/$module/target/coldstart-$module-$version.jar" $(tr ':' ' ' <"$repo/$module/target/classpath"); do
        [ -f "$jar" ] || die "$jar is not a jar; build with './mvnw package', not with an earlier phase"
        name=$(basename "$jar")
        [ -e "$out/lib/$name" ] || cp -p "$jar" "$out/lib/$name"
        cp="$cp:\$home/lib/$name"
    done
    if [ "$1" = coldstart-planner ]; then
        # Debian's jar stays where it is: it is GPL-3.0 and no part of what is shipped.
        ln -sf "$glpk_jar" "$out/lib/glpk-java.jar"
        cp="$cp:\$home/lib/glpk-java.jar"
    fi
    printf '%s' "${cp#:}"
}

# launcher PROGRAM AOT_FLAG CLASS_PATH
launcher() {
    cat <<END
#!/bin/sh
# $1 on its own Java runtime, wherever this directory lies.
unset JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS _JAVA_OPTIONS
self=\$0
case \$0 in /*) [ ! -h "\$0" ] ;; *) false ;; esac || self=\$(readlink -f "\$0")
home=\${self%/bin/*}
exec "\$home/runtime/bin/java" $(flags_of "$1") "$2" -cp "$3" $(main_of "$1") "\$@"
END
}

rm -rf "$out" "$work"
mkdir -p "$out/lib" "$out/bin" "$out/aot" "$work/bin"
"$JAVA_HOME/bin/jlink" --add-modules "$modules" --strip-java-debug-attributes --no-header-files --no-man-pages \
    --output "$out/runtime"

for program in coldstart coldstart-snapshotter coldstart-planner coldstart-shim; do
    class_path=$(jars "$program")
    launcher "$program" "-XX:AOTCache=\$home/aot/$program.aot" "$class_path" >"$out/bin/$program"
    launcher "$program" "-XX:AOTCacheOutput=\$home/aot/$program.aot" "$class_path" >"$out/bin/.train-$program"
    chmod 755 "$out/bin/$program" "$out/bin/.train-$program"
done
install -m 755 "$here/bin/containerd-shim-coldstart-v1" "$here/bin/coldstart-shim-pool" "$here/bin/coldstart-shim-rehearsal" \
    "$here/bin/coldstart-keeper" "$here/bin/coldstart-containerd" "$out/bin/"
mkdir "$out/share"
cp -R "$here/containerd" "$here/systemd" "$here/kubernetes" "$out/share/"

# ------------------------------------------------------------------------------------------------------------- training

# Whatever is wrong, no program stays behind.
children=
trap 'for child in $children; do kill "$child" 2>/dev/null || true; done' EXIT

# finish PID: asks a program to end, which is when its cache is written.
finish() {
    kill -TERM "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

await_socket() {
    tries=0
    until [ -S "$1" ]; do
        tries=$((tries + 1))
        if [ $tries -gt 600 ] || ! kill -0 "$2" 2>/dev/null; then
            cat "$3" >&2
            die "could not record an AOT cache: $(basename "$3" .log) did not start; its output stands above"
        fi
        sleep 0.1
    done
}

# What a command must begin with to run where the program that is trained runs.
inside=

# train_with PROGRAM.java ARGUMENTS…
train_with() {
    source=$here/training/$1
    shift
    $inside "$JAVA_HOME/bin/java" --enable-native-access=ALL-UNNAMED -cp "$out/lib/*" "$source" "$@" >"$work/calls.log" 2>&1 || {
        cat "$work/calls.log" >&2
        die "could not record an AOT cache: the training calls failed; their output stands above"
    }
}

train_snapshotter() {
    # In a mount namespace of its own: it mounts, and the build may not.
    [ "$(id -u)" = 0 ] && user= || user="--user --map-root-user"
    # shellcheck disable=SC2086 # options, or none
    if [ ! -c /dev/fuse ] || ! unshare $user --mount true 2>/dev/null; then
        echo "deploy/image.sh: coldstart-snapshotter gets no AOT cache, as this build may not mount (root and /dev/fuse are needed)" >&2
        sed -i 's/ "-XX:AOTCache=[^"]*"//' "$out/bin/coldstart-snapshotter"
        return
    fi
    # shellcheck disable=SC2086
    unshare $user --mount "$out/bin/.train-coldstart-snapshotter" --config "$work/config.toml" >"$work/coldstart-snapshotter.log" 2>&1 &
    snapshotter=$!
    children="$children $snapshotter"
    await_socket "$work/state/node.sock" $snapshotter "$work/coldstart-snapshotter.log"
    "$out/bin/.train-coldstart" snapshot ls --node-socket "$work/state/node.sock" >"$work/coldstart.log" 2>&1 || {
        cat "$work/coldstart.log" >&2
        die "could not record an AOT cache: 'coldstart snapshot ls' failed; its output stands above"
    }
    # Its mounts are seen in its namespace only.
    inside="nsenter ${user:+--user --preserve-credentials} --mount --target $snapshotter"
    train_with SnapshotterCalls.java "$work/state" "$work/certs.d" "$work/containerd.sock"
    inside=
    # What could not be played is lost to the cache, and not to the build.
    sed -n 's/^not recorded: /deploy\/image.sh: the AOT cache of coldstart-snapshotter was recorded without /p' "$work/calls.log" >&2
    finish $snapshotter
}

train_planner() {
    "$out/bin/.train-coldstart-planner" --config "$work/config.toml" >"$work/coldstart-planner.log" 2>&1 &
    planner=$!
    children="$children $planner"
    await_socket "$work/state/planner.sock" $planner "$work/coldstart-planner.log"
    "$out/bin/coldstart" plan --demand "$here/training/demand.toml" --planner-socket "$work/state/planner.sock" \
        >"$work/plan.log" 2>&1 || {
        cat "$work/plan.log" >&2
        die "could not record an AOT cache: 'coldstart plan' failed; its output stands above"
    }
    finish $planner
}

train_shim() {
    mkdir "$work/shim"
    COLDSTART_CONFIG=$work/config.toml train_with ShimLife.java "$out" "$work/shim"
    cp "$work/calls.log" "$work/coldstart-shim.log"
}

mkdir "$work/state"
cat >"$work/config.toml" <<END
[snapshotter]
root = "$work/root"
state = "$work/state"
containerd_address = "$work/containerd.sock"
[registry]
hosts_dir = "$work/certs.d"
[shim]
root = "$work/root"
state = "$work/state"
[planner]
state = "$work/state"
END
train_snapshotter
train_planner
train_shim
rm -f "$out"/bin/.train-*
for program in coldstart coldstart-snapshotter coldstart-planner coldstart-shim; do
    [ -s "$out/aot/$program.aot" ] || ! grep -q AOTCache= "$out/bin/$program" || {
        cat "$work/$program.log" >&2
        die "$program wrote no AOT cache; its output stands above"
    }
done
rm -rf "$work"
