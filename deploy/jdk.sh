# Sourced. find_jdk25 prints the home of a JDK 25 (with javac and jlink), or fails.
find_jdk25() {
    on_path=$(command -v javac 2>/dev/null || true)
    [ -z "$on_path" ] || on_path=$(dirname "$(dirname "$(readlink -f "$on_path")")")
    for home in "${JAVA_HOME:-}" "$on_path" /usr/lib/jvm/*; do
        if [ -x "$home/bin/javac" ] && [ -x "$home/bin/jlink" ] && grep -q '^JAVA_VERSION="25' "$home/release" 2>/dev/null; then
            printf '%s\n' "$home"
            return 0
        fi
    done
    return 1
}
