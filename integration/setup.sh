# Sourced by demo, test and bench: makes this machine able to build coldstart and to run test hosts.
#   COLDSTART_JDK=builder     builds in a Debian 13 root also where this machine has a JDK 25
#   COLDSTART_CACHE           where roots and images are kept (default /var/cache/coldstart)

repository=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
export COLDSTART_CACHE=${COLDSTART_CACHE:-/var/cache/coldstart}
. "$repository/deploy/jdk.sh"
# Layers of the tests have names that are not ASCII, and root's shell may have no locale.
export LC_ALL=C.UTF-8

say() {
    echo "coldstart: $*" >&2
}

die() {
    say "$*"
    exit 1
}

need_root() {
    [ "$(id -u)" = 0 ] || die "$1 must run as root, as it makes namespaces, mounts and cgroups; try: sudo $1"
}

missing_packages() {
    local package
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
    done
}

# libfuse 2, if it is missing, under the name that it has here.
missing_fuse2() {
    local name
    ! ldconfig -p | grep -q 'libfuse\.so\.2 ' || return 0
    name=$(apt-cache --names-only search '^libfuse2(t64)?$' | tail -n 1 | cut -d ' ' -f 1)
    echo "${name:-libfuse2}"
}

# Installs what is missing. A JDK 25 may come from anywhere; where there is none to be had, the build runs in a test host.
set_up_machine() {
    local wanted missing
    command -v apt-get >/dev/null || die "set-up needs apt-get, so Debian 12 or 13, or Ubuntu 24.04"
    wanted="attr ca-certificates curl debian-archive-keyring debootstrap iproute2 pigz util-linux"
    missing=$(missing_packages $wanted)
    if [ "${COLDSTART_JDK:-}" = builder ]; then
        builds_here=no
    elif find_jdk25 >/dev/null; then
        builds_here=yes
    else
        apt-get -qq update
        if apt-cache policy openjdk-25-jdk-headless | grep -q 'Candidate: [0-9]'; then
            builds_here=yes
            missing="$missing openjdk-25-jdk-headless"
        else
            builds_here=no
        fi
    fi
    [ "$builds_here" = no ] || missing="$missing $(missing_packages maven libglpk-java libisal2) $(missing_fuse2)"
    if [ -n "${missing// /}" ]; then
        say "installing" $missing
        apt-get -qq update
        # shellcheck disable=SC2086 # a list of words
        DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends $missing </dev/null >/dev/null
    fi
}

# Makes the roots of test hosts (SUITE or SUITE:FLAVOUR) and the images named in $images, by default the model server's, so
# that nothing later waits for them.
set_up_hosts() {
    local root flavour image
    for root in "$@"; do
        flavour=${root#*:}
        [ "$flavour" != "$root" ] || flavour=runtime
        "$repository/integration/testhost" base "${root%%:*}" --flavour "$flavour" >/dev/null
    done
    for image in ${images:-model-server}; do "$repository/integration/image" build "$image" >/dev/null; done
}

# Builds the clients named (see integration/clients). Tests that want one that cannot be built here skip themselves.
set_up_clients() {
    local client
    for client in "$@"; do
        "$repository/integration/clients" "$client" >/dev/null || say "tests with $client will be skipped"
    done
}

# with_jdk CMD…: runs it here, or where a JDK 25 is.
with_jdk() {
    if [ "$builds_here" = yes ]; then
        JAVA_HOME=$(find_jdk25) PATH="$(find_jdk25)/bin:$PATH" "$@"
    else
        "$repository/integration/testhost" builder env JAVA_HOME=/usr/lib/jvm/java-25-openjdk-amd64 "$@"
    fi
}

# Runs a main class of integration/ with the hosts named, and sees to it that they are gone afterwards. One at a time, as their
# names are taken.
with_hosts() {
    local main=$1 hosts=$2 child status=0
    shift 2
    mkdir -p "$COLDSTART_CACHE"
    exec 7>"$COLDSTART_CACHE/.lock-hosts"
    flock -n 7 || die "another demo or benchmark is running on this machine"
    # shellcheck disable=SC2064,SC2086 # expanded now; a list of words
    trap "'$repository/integration/testhost' destroy $hosts" EXIT
    trap 'exit 130' INT TERM HUP
    # In the background, as a trap waits for a command in the foreground.
    with_jdk java -cp "$repository/integration/target/coldstart-integration-0.1.0.jar" "$main" "$@" 7>&- &
    child=$!
    trap 'kill "$child" 2>/dev/null; wait "$child"; exit 130' INT TERM HUP
    wait "$child" || status=$?
    return "$status"
}

build() {
    say "building"
    with_jdk ./mvnw -q -B -ntp -DskipTests package
}
