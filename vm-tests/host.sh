#!/bin/sh
# Runs a command on a clean host in a directory, as an unprivileged user with sudo and a range of subordinate IDs. As
# root:
#
#   vm-tests/host.sh ROOT COMMAND
#
# ROOT is the tree of a Debian system, which becomes / in separate namespaces. It uses the Rust toolchain and the
# network configuration of this host: resolver, certificates, and the package sources of apt, cargo, pip and npm.
set -eu
root=$1 command=$2
here=$(cd "$(dirname "$0")/.." && pwd)
home=$root/home/tester
if [ ! -d "$home" ]; then
    chroot "$root" useradd --create-home --shell /bin/bash tester
    # useradd may already have added the ranges.
    for file in subuid subgid; do
        grep -q ^tester: "$root/etc/$file" || echo tester:100000:65536 >>"$root/etc/$file"
    done
    echo 'tester ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/tester"
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    for file in /etc/pip.conf /etc/npmrc; do [ ! -e "$file" ] || cp "$file" "$root/etc/"; done
    mkdir -p "$home/.cargo"
    for file in "${CARGO_HOME:-$HOME/.cargo}/config.toml" "$HOME/.npmrc"; do [ ! -e "$file" ] || cp "$file" "$home/"; done
    [ ! -e "$home/config.toml" ] || mv "$home/config.toml" "$home/.cargo/"
    # A checkout of the commit, without uncommitted changes.
    mkdir "$home/ister"
    git -C "$here" archive HEAD | tar -C "$home/ister" -x
    chroot "$root" chown -R tester: /home/tester
fi
for file in /etc/resolv.conf /etc/hosts; do
    rm -f "$root$file"
    cp "$file" "$root$file"
done
ROOT=$root COMMAND=$command RUST=$(rustc --print sysroot)
export ROOT COMMAND RUST
# shellcheck disable=SC2016
exec unshare --mount --pid --fork --kill-child sh -euc '
    mount --make-rprivate /
    mount --bind "$ROOT" "$ROOT"
    mount -t proc proc "$ROOT/proc"
    mount -t sysfs -o ro sysfs "$ROOT/sys"
    mount -t tmpfs -o mode=755 dev "$ROOT/dev"
    for device in null zero full random urandom tty kvm; do
        [ -e "/dev/$device" ] || continue
        : >"$ROOT/dev/$device"
        mount --bind "/dev/$device" "$ROOT/dev/$device"
    done
    ln -s /proc/self/fd "$ROOT/dev/fd"
    for number in 0:stdin 1:stdout 2:stderr; do ln -s "fd/${number%:*}" "$ROOT/dev/${number#*:}"; done
    mkdir -p "$ROOT/dev/shm" "$ROOT/dev/pts" "$ROOT/opt/rust" "$ROOT/.old"
    mount -t tmpfs -o mode=1777 shm "$ROOT/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$ROOT/dev/pts"
    ln -s pts/ptmx "$ROOT/dev/ptmx"
    mount --bind -o ro "$RUST" "$ROOT/opt/rust"
    cd "$ROOT"
    pivot_root . .old
    umount -l /.old
    cd /
    # CI is not set, so that tests that need root are skipped (visibly) instead of failing.
    exec env -i TERM=dumb COMMAND="$COMMAND" su --login tester --whitelist-environment=COMMAND --command "
            export PATH=/opt/rust/bin:\$PATH
            cd ister
            [ -d .git ] || { git init -q && git add -A &&
                git -c user.name=tester -c user.email=tester@example.org commit -qm checkout; }
            $COMMAND"
'
