#!/bin/sh
# Makes target/coldstart, what install.sh installs: a Java runtime with the modules the programs use, their jars, a launcher
# and an AOT cache for each. Called by the build, in phase package, with JAVA_HOME set.
#   image.sh VERSION GLPK_JAR GLPK_NATIVE
# An AOT cache is what a JVM would otherwise do at each start: classes read, verified, linked. It is recorded in a real run of
# the program, and stays valid where the whole directory is moved, as the JVM compares jars by size, time and relative place.
set -eu

version=$1 glpk_jar=$2 glpk_native=$3
here=$(cd "$(dirname "$0")" && pwd)
repo=$(dirname "$here")
out=$here/target/coldstart
work=$here/target/training

# java.management: netty and the logging of a pid. jdk.net: credentials of a unix socket's peer.
modules=java.base,java.logging,java.management,java.naming,java.net.http,jdk.net,jdk.unsupported
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
    coldstart | coldstart-shim) echo "$flags $short" ;;
    coldstart-planner) echo "$flags -Djava.library.path=$glpk_native" ;;
    *) echo "$flags" ;;
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
self=\$(readlink -f "\$0")
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
