# Prints facts about the guest: `sh FILE LIMIT FUNCTION INDEX ARGUMENT…`. The host evaluates the lines that begin with
# `ister-check:`. Arguments and values are in base64, so that no character has a meaning for a shell or a terminal. The
# length of a value shows whether all of its lines have arrived. LIMIT is the longest value in bytes.
emit() {
    encoded=$(base64) || return
    echo "ister-check: $1 $2="
    [ -z "$encoded" ] || printf '%s\n' "$encoded" | sed "s/^/ister-check: $1 $2+ /"
    encoded=$(printf '%s' "$encoded" | tr -d '\n')
    echo "ister-check: $1 $2# ${#encoded}"
}
put() {
    printf '%s' "$3" | emit "$1" "$2"
}
of() {
    printf '%s' "$1" | base64 -d
}
wait_for_system() {
    [ ! -d /run/systemd/system ] || timeout 300 systemctl is-system-running --wait >/dev/null 2>&1
}
content() {
    if [ "$(wc -c <"$3")" -gt "$limit" ]; then
        put "$1" error "$2 is larger than $limit bytes"
    else
        emit "$1" "$2" <"$3"
    fi
}
check_file() {
    path=$(of "$2")
    case $path in
    '~' | '~/'*) path=$HOME${path#'~'} ;;
    '~'*)
        user=${path#'~'}
        rest=${user#"${user%%/*}"}
        path=$(sed -n "s/^${user%%/*}:[^:]*:[^:]*:[^:]*:[^:]*:\([^:]*\):.*/\1/p" /etc/passwd)$rest
        ;;
    esac
    if [ ! -e "$path" ] && [ ! -L "$path" ]; then
        put "$1" exists false
        return
    fi
    put "$1" exists true
    put "$1" mode "$(stat -c %a "$path")"
    put "$1" owner "$(stat -c %U "$path")"
    put "$1" group "$(stat -c %G "$path")"
    put "$1" size "$(stat -c %s "$path")"
    put "$1" filetype "$(stat -c %F "$path")"
    [ ! -L "$path" ] || put "$1" linked-to "$(readlink "$path")"
    for wanted in $3; do
        [ -f "$path" ] || continue
        case $wanted in
        contents) content "$1" contents "$path" ;;
        md5 | sha256 | sha512) put "$1" "$wanted" "$("${wanted}sum" <"$path" | cut -d' ' -f1)" ;;
        esac
    done
}
check_package() {
    name=$(of "$2")
    if command -v dpkg-query >/dev/null; then
        versions=$(dpkg-query -W -f '${db:Status-Abbrev} ${Version}\n' "$name" 2>/dev/null | sed -n 's/^.i. *//p')
    elif command -v rpm >/dev/null; then
        versions=$(rpm -q --qf '%{VERSION}\n' "$name") || versions=
    elif command -v apk >/dev/null; then
        versions=$(apk list -I "$name" 2>/dev/null | sed -n 's/^[^ ]*-\([0-9][^ ]*\) .*/\1/p')
    elif command -v pacman >/dev/null; then
        versions=$(pacman -Q "$name" 2>/dev/null | cut -d' ' -f2)
    else
        put "$1" error "the guest has none of dpkg, rpm, apk and pacman"
        return
    fi
    if [ -n "$versions" ]; then put "$1" installed true; else put "$1" installed false; fi
    for version in $versions; do put "$1" versions "$version"; done
}
answers() {
    if "$@" >/dev/null 2>&1; then echo true; else echo false; fi
}
check_service() {
    name=$(of "$2")
    if [ -d /run/systemd/system ]; then
        put "$1" enabled "$(answers systemctl is-enabled "$name")"
        put "$1" running "$(answers systemctl is-active "$name")"
    elif command -v rc-service >/dev/null; then
        put "$1" enabled "$(rc-update show | grep -q "^ *$name |" && echo true || echo false)"
        put "$1" running "$(answers rc-service "$name" status)"
    else
        put "$1" enabled "$(ls /etc/rc[2-5].d/S??"$name" >/dev/null 2>&1 && echo true || echo false)"
        put "$1" running "$(answers service "$name" status)"
    fi
}
check_port() {
    grep -i ": [0-9A-F]*:$3 " "/proc/net/$2" | emit "$1" table
}
check_user() {
    name=$(of "$2")
    while IFS=: read -r user _ uid gid _ home shell; do
        [ "$user" = "$name" ] || continue
        put "$1" exists true
        put "$1" uid "$uid"
        put "$1" gid "$gid"
        put "$1" home "$home"
        put "$1" shell "$shell"
        for group in $(id -Gn "$name"); do put "$1" groups "$group"; done
        return
    done </etc/passwd
    put "$1" exists false
}
check_group() {
    name=$(of "$2")
    while IFS=: read -r group _ gid _; do
        [ "$group" = "$name" ] || continue
        put "$1" exists true
        put "$1" gid "$gid"
        return
    done </etc/group
    put "$1" exists false
}
check_mount() {
    emit "$1" table </proc/self/mountinfo
    df -P "$(of "$2")" 2>/dev/null | emit "$1" df
}
check_kernel_param() {
    path=/proc/sys/$(of "$2" | tr './' '/.')
    [ ! -e "$path" ] || put "$1" value "$(cat "$path")"
}
check_process() {
    name=$(of "$2")
    # The kernel keeps 15 bytes of a name.
    short=$(printf '%.15s' "$name")
    for process in /proc/[0-9]*; do
        [ "$(cat "$process/comm" 2>/dev/null)" = "$short" ] || continue
        if [ "$short" != "$name" ]; then
            program=$(readlink "$process/exe") && [ "${program##*/}" = "$name" ] || continue
        fi
        put "$1" running true
        return
    done
    put "$1" running false
}
check_dns() {
    found=$(timeout "$3" getent ahosts "$(of "$2")" | cut -d' ' -f1 | sort -u)
    if [ -n "$found" ]; then put "$1" resolvable true; else put "$1" resolvable false; fi
    for address in $found; do put "$1" addrs "$address"; done
}
check_interface() {
    name=$(of "$2")
    if [ ! -e "/sys/class/net/$name" ]; then
        put "$1" exists false
        return
    fi
    put "$1" exists true
    put "$1" mtu "$(cat "/sys/class/net/$name/mtu")"
    for address in $(ip -o address show dev "$name" | sed 's/.* inet6* \([^ ]*\) .*/\1/'); do put "$1" addrs "$address"; done
}
# The exit status of a program, or an error if its time limit has passed.
ended() {
    case $2 in
    124 | 137)
        if [ $(($(date +%s) - started)) -ge "$3" ]; then
            put "$1" error "it did not finish within $3 s"
            return
        fi
        ;;
    esac
    put "$1" exit-status "$2"
}
check_command() {
    place=$(mktemp -d) || { put "$1" error "the guest could not create a temporary directory"; return; }
    of "$2" >"$place/run"
    started=$(date +%s)
    timeout -k 10 "$3" sh "$place/run" >"$place/stdout" 2>"$place/stderr" </dev/null
    ended "$1" $? "$3"
    content "$1" stdout "$place/stdout"
    content "$1" stderr "$place/stderr"
    rm -rf "$place"
}
# The script is on standard input, in base64. Its results are a tar archive.
check_script() {
    place=$(mktemp -d) || { put "$1" error "the guest could not create a temporary directory"; return; }
    mkdir "$place/results"
    base64 -d >"$place/script"
    chmod 755 "$place" "$place/results" "$place/script"
    # The directory may be on a filesystem without execution.
    interpreter=$(sed -n '1s/^#! *//p' "$place/script" | tr -d '\000')
    started=$(date +%s)
    # shellcheck disable=SC2086
    (cd "$place" && ISTER_RESULTS=$place/results exec timeout -k 10 "$3" $interpreter ./script) >"$place/output" 2>&1 </dev/null
    ended "$1" $? "$3"
    content "$1" output "$place/output"
    if [ -n "$(ls -A "$place/results")" ]; then
        tar -C "$place/results" -cf "$place/results.tar" . && content "$1" results "$place/results.tar"
    fi
    rm -rf "$place"
}
limit=$1
shift
"$@"
[ "$1" = wait_for_system ] || echo "ister-check: $2 done="
