#!/bin/sh
# Written by ister: regenerates GRUB's menu from the loader entries of kernel-install, newest first. The part of the
# menu
# above the first entry is preserved.
set -eu
boot=/boot
menu=$boot/grub/grub.cfg
[ -e "$menu" ] || exit 0

# Quotes words for GRUB's shell. Its `linux` command puts quotes around words with blanks, and a backslash before
# every
# other quote and backslash.
quoted() {
    rest=$1
    while rest=${rest#"${rest%%[! ]*}"} && [ -n "$rest" ]; do
        case $rest in
            \"*\"*) word=${rest#\"} && word=${word%%\"*} && rest=${rest#\""$word"\"} ;;
            *) word=${rest%% *} && rest=${rest#"$word"} ;;
        esac
        case $word in
            *[\'\"\\]*) echo "GRUB cannot pass $word on the kernel command line" >&2 && exit 1 ;;
            *[!A-Za-z0-9_=+:,./@%~-]*) printf " '%s'" "$word" ;;
            *) printf ' %s' "$word" ;;
        esac
    done
}

# Paths of kernel-install are relative to /boot, those of GRUB to the root of the partition.
place() {
    if [ -e "$boot/$1" ]; then echo "DIRECTORY/${1#/}"; else echo "$1"; fi
}

{
    sed '/^menuentry /,$d' "$menu"
    for entry in $(printf '%s\n' "$boot"/loader/entries/*.conf | sort -rV); do
        field() { sed -n "s/^$1[[:space:]]*//p" "$entry"; }
        [ -n "$(field linux)" ] || continue
        printf "menuentry '%s (%s)' {\n  linux" "$(field title | tr -d "'")" "$(field version)"
        quoted "$(place "$(field linux)") $(field options | tr '\n' ' ')"
        initrds=$(for path in $(field initrd); do place "$path"; done)
        [ -z "$initrds" ] || { printf '\n  initrd' && quoted "$initrds"; }
        printf '\n}\n'
    done
} >"$menu.new"
grep -q '^menuentry ' "$menu.new" || { rm "$menu.new"; echo "no loader entry found for $menu" >&2; exit 1; }
mv "$menu.new" "$menu"
