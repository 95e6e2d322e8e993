#!/bin/sh
# Runs as root in the guest, from the unpacked archive: `update.sh state|reinstall|upgrade|break|fix|remove VERSION`.
# The host evaluates the output lines that begin with `ister-update:`.
set -u
here=$(dirname "$0")
running=$(uname -r)

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dir::Etc::sourcelist="$here/sources.list" -o Dir::Etc::sourceparts=- \
        -o APT::Get::List-Cleanup=0 -o Dpkg::Options::=--force-confold "$@"
}

dnf() {
    command dnf -q -y --disablerepo='*' --repofrompath="ister-update,file://$here" --setopt=ister-update.gpgcheck=0 \
        --enablerepo=ister-update "$@"
}

# The package that contains a kernel.
package_of() {
    if [ -f "$here/Packages" ]; then
        dpkg-query -S "/boot/vmlinuz-$1" | sed 's/: .*//; s/,.*//'
    else
        rpm -qf --qf '%{NAME}-%{VERSION}-%{RELEASE}\n' "/lib/modules/$1/vmlinuz"
    fi
}

state() {
    echo "ister-update: running $running"
    for directory in /lib/modules/*/; do
        [ -e "$directory/kernel" ] && echo "ister-update: installed $(basename "$directory")"
    done
    for entry in /efi/loader/entries/*.conf /boot/loader/entries/*.conf; do
        [ -e "$entry" ] || continue
        [ -e /boot/grub/grub.cfg ] || echo "ister-update: offered $(sed -n 's/^version *//p' "$entry")"
    done
    [ ! -e /boot/grub/grub.cfg ] || sed -n 's/^[[:space:]]*linux[[:space:]]*[^[:space:]]*vmlinuz-\([^[:space:]]*\).*/ister-update: offered \1/p' \
        /boot/grub/grub.cfg
    echo "ister-update: command line $(cat /proc/cmdline)"
}

# The file from which the boot loader starts the kernel that is not running.
other_kernel() {
    for directory in /lib/modules/*/; do
        version=$(basename "$directory")
        [ -e "$directory/kernel" ] && [ "$version" != "$running" ] || continue
        for image in /efi/*/"$version"/linux /boot/*/"$version"/linux /boot/vmlinuz-"$version"; do
            [ -e "$image" ] && echo "$image" && return
        done
    done
}

case $1 in
state) state ;;
reinstall)
    package=$(package_of "$running") || exit
    if [ -f "$here/Packages" ]; then
        grep -q "^Package: $package\$" "$here/Packages" || { echo "ister-update: not in the archive: $package"; exit 0; }
        apt update && apt --reinstall install "$package" && echo "ister-update: reinstalled $package"
    else
        ls "$here/$package".*.rpm >/dev/null 2>&1 || { echo "ister-update: not in the archive: $package"; exit 0; }
        dnf reinstall "$package" && echo "ister-update: reinstalled $package"
    fi
    ;;
upgrade)
    if [ -f "$here/Packages" ]; then
        dpkg-query -W >/tmp/ister-before
        apt update && apt dist-upgrade || exit
        dpkg-query -W >/tmp/ister-after
    else
        rpm -qa >/tmp/ister-before
        dnf upgrade || exit
        rpm -qa >/tmp/ister-after
    fi
    sort -o /tmp/ister-before /tmp/ister-before
    sort /tmp/ister-after | comm -13 /tmp/ister-before - | sed 's/\t/ /; s/^/ister-update: now /'
    ;;
break)
    image=$(other_kernel)
    cp "$image" "$here/whole" || exit
    head -c 1000000 "$here/whole" >"$image" && echo "$image" >"$here/broken"
    ;;
fix) cp "$here/whole" "$(cat "$here/broken")" ;;
remove)
    package=$(package_of "$2") || exit
    if [ -f "$here/Packages" ]; then apt purge "$package"; else dnf remove "$package"; fi
    ;;
esac
