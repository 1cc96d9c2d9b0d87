#!/bin/sh
# Installs what the build left in deploy/target/coldstart: programs with their Java runtime, links to them, systemd units, and
# what tells the containerd of this host of them (PREFIX/bin/coldstart-containerd, which can also take that back).
#   install.sh [--prefix DIR] [--no-containerd]      (default /opt/coldstart)
set -eu

die() {
    echo "install.sh: $*" >&2
    exit 1
}

prefix=/opt/coldstart containerd=yes
while [ $# -gt 0 ]; do
    case $1 in
    --prefix)
        [ $# -ge 2 ] || die "--prefix wants a directory"
        prefix=$2
        shift 2
        ;;
    --no-containerd)
        containerd=
        shift
        ;;
    -h | --help)
        sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    *) die "unknown option '$1'; it takes --prefix DIR and --no-containerd" ;;
    esac
done
case $prefix in /*) ;; *) die "--prefix must be an absolute path, not '$prefix'" ;; esac
[ "$(id -u)" = 0 ] || die "must run as root: it writes to $prefix, /usr/local/bin and /etc/systemd/system"

here=$(cd "$(dirname "$0")" && pwd)
image=$here/deploy/target/coldstart
[ -x "$image/runtime/bin/java" ] || die "there is nothing to install in $image; build first: ./mvnw package"

# Aside and then in place: a running program keeps the files that it has open. Times stay, as AOT caches compare them.
rm -rf "$prefix.new"
mkdir -p "$(dirname "$prefix")"
cp -a "$image" "$prefix.new"
chown -R root:root "$prefix.new"
rm -rf "$prefix.old"
[ ! -e "$prefix" ] || mv "$prefix" "$prefix.old"
mv "$prefix.new" "$prefix"
rm -rf "$prefix.old"

# containerd finds the shim by its own PATH, which has /usr/local/bin.
mkdir -p /usr/local/bin
for program in coldstart coldstart-containerd coldstart-snapshotter coldstart-planner containerd-shim-coldstart-v1; do
    ln -sfn "$prefix/bin/$program" "/usr/local/bin/$program"
done

if [ -d /etc/systemd/system ]; then
    for unit in coldstart-snapshotter.service coldstart-shim-pool.service coldstart-planner.service; do
        sed "s|@PREFIX@|$prefix|" "$prefix/share/systemd/$unit" >"/etc/systemd/system/$unit"
    done
    [ ! -d /run/systemd/system ] || systemctl daemon-reload
fi

echo "coldstart is in $prefix. What is left to do:"
echo
if [ -z "$containerd" ] || ! command -v containerd >/dev/null; then
    echo "  coldstart-containerd add                            # tell containerd of it, and restart containerd"
elif told=$("$prefix/bin/coldstart-containerd" add); then
    echo "  systemctl restart containerd                        # ${told%;*}"
else
    echo "  coldstart-containerd add                            # again, when what it said above is mended"
fi
cat <<END
  systemctl enable --now coldstart-snapshotter coldstart-shim-pool        # and coldstart-planner, on one host of the cluster
  coldstart doctor                                    # what works and what does not
  kubectl apply -f $prefix/share/kubernetes/runtimeclass.yaml        # with Kubernetes
END
