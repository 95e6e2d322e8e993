#!/bin/sh
# A clean host in a directory: runs a command there as an ordinary user with sudo and a sub-id range. As root:
#
#   vm-tests/host.sh ROOT COMMAND
#
# ROOT is the tree of a Debian system; it becomes / in namespaces of its own. From this host it has the Rust toolchain, and what
# programs need to reach the network: resolver, certificates, settings of apt's, cargo's, pip's and npm's sources.
set -eu
root=$1 command=$2
here=$(cd "$(dirname "$0")/.." && pwd)
home=$root/home/tester
if [ ! -d "$home" ]; then
    chroot "$root" useradd --create-home --shell /bin/bash tester
    # useradd may have done it.
    for file in subuid subgid; do
        grep -q ^tester: "$root/etc/$file" || echo tester:100000:65536 >>"$root/etc/$file"
    done
    echo 'tester ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/tester"
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    for file in /etc/pip.conf /etc/npmrc; do [ ! -e "$file" ] || cp "$file" "$root/etc/"; done
    mkdir -p "$home/.cargo"
    for file in "${CARGO_HOME:-$HOME/.cargo}/config.toml" "$HOME/.npmrc"; do [ ! -e "$file" ] || cp "$file" "$home/"; done
    [ ! -e "$home/config.toml" ] || mv "$home/config.toml" "$home/.cargo/"
    # A checkout of the commit: what is edited meanwhile is not in it.
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
    # Without CI: what only root can test is skipped, visibly.
    exec env -i TERM=dumb COMMAND="$COMMAND" su --login tester --whitelist-environment=COMMAND --command "
            export PATH=/opt/rust/bin:\$PATH
            cd ister
            [ -d .git ] || { git init -q && git add -A &&
                git -c user.name=tester -c user.email=tester@example.org commit -qm checkout; }
            $COMMAND"
'
