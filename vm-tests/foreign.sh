#!/bin/sh
# Makes a disk image or an ISO with the layout of another builder, using standard tools without privileges: foreign.sh
# KIND TREE OUT
#
#   debian-cloud      Debian's cloud layout: root as partition 1 behind GRUB's core (14) and the ESP (15, shim); BIOS and UEFI
#   genimage-gpt, genimage-hybrid, genimage-mbr   by genimage, as in Buildroot: GRUB in an ESP, and a root; UEFI
#   grub-mbr          GRUB in the gap before the first partition; BIOS
#   extlinux          extlinux on ext4 in an MBR partition; BIOS
#   superfloppy       extlinux on ext4 without a partition table; BIOS
#   syslinux-fat      syslinux, kernel and initramfs on FAT, with a separate root; BIOS
#   uki               a unified kernel image as BOOTX64.EFI; UEFI
#   uki-systemd-boot  a unified kernel image, started by systemd-boot; UEFI
#   uki-erofs         a unified kernel image as BOOTX64.EFI, with a read-only erofs root; UEFI
#   isolinux          a live CD that also boots from a disk; BIOS
#   efi-iso           a live CD with GRUB in its ESP; UEFI
#   grub-iso          a live CD by grub-mkrescue; BIOS and UEFI
#
# TREE is Debian 12 with linux-image-cloud-amd64, systemd-sysv, udev, live-boot and the boot loader packages: extlinux,
# grub-efi-amd64-bin, grub-efi-amd64-signed, grub-pc-bin, isolinux, shim-signed, syslinux-common and systemd-boot-efi
# (and with `erofs` in initramfs-tools/modules). Files keep their owners from TREE: unpack TREE and run this script as
# root of a user namespace (unshare --map-root-user --map-auto).
set -eu
PATH=$PATH:/usr/sbin:/sbin
[ $# -eq 3 ] || { echo "usage: foreign.sh KIND TREE OUT" >&2; exit 2; }
kind=$1
tree=$(realpath -e "$2")
out=$3

ROOT_UUID=5d8e2b1c-7f64-4c0a-9d3e-1a2b3c4d5e6f
ROOT_TYPE=4f68bce3-e8cd-4db1-96e7-fbcaf984b709
ROOT_MIB=900
CONSOLE='console=tty0 console=ttyS0,115200'
OPTIONS="root=UUID=$ROOT_UUID ro $CONSOLE"

work=$(mktemp -d "$(realpath "$out").XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
image=$work/image
root=$work/root
esp=$work/esp
iso=$work/iso

set -- "$tree"/boot/vmlinuz-*
[ $# -eq 1 ] || { echo "$tree has more than one kernel" >&2; exit 1; }
vmlinuz=boot/${1##*/}
initrd=boot/initrd.img-${1##*/vmlinuz-}

# table MIB < SFDISK SCRIPT: creates an image of this size with this partition table.
table() {
    truncate -s "$1M" "$image"
    sfdisk -q "$image"
}

# put FILE SECTOR: writes a file into the image, starting at this sector.
put() {
    dd if="$1" of="$image" bs=512 seek="$2" conv=notrunc,sparse status=none
}

# patch OFFSET BYTES: writes bytes, in the notation of printf, into the image.
patch() {
    # shellcheck disable=SC2059
    printf "$2" >"$work/bytes"
    dd if="$work/bytes" of="$image" bs=1 seek="$(($1))" conv=notrunc status=none
}

# Copies the tree, so that it can be modified. Device nodes are left out: only root can create them, and the kernel
# provides them in devtmpfs.
copy_tree() {
    mkdir -p "$root/dev"
    for entry in "$tree"/*; do
        [ "$entry" = "$tree/dev" ] || cp -a "$entry" "$root/"
    done
    echo "UUID=$ROOT_UUID / ext4 errors=remount-ro 0 1" >"$root/etc/fstab"
}

# ext4 MIB [OPTION...]: writes the copied tree as a filesystem at this position of the image.
ext4() {
    at=$1
    shift
    mke2fs -q -F -t ext4 -U "$ROOT_UUID" -L root -E "offset=$((at << 20))" "$@" -d "$root" "$image" "${ROOT_MIB}M"
}

# fat MIB: creates a FAT filesystem of this size with the files of the ESP.
fat() {
    truncate -s "$1M" "$work/fat"
    mkfs.vfat -n ESP -i 12345678 "$work/fat" >"$work/log"
    mcopy -s -i "$work/fat" "$esp"/* ::/
}

# grub_cfg KERNEL INITRD OPTIONS: prints a GRUB configuration; its root is the filesystem that contains the kernel.
grub_cfg() {
    cat <<END
set timeout=1
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
search --no-floppy --file --set=root $1
menuentry 'Debian GNU/Linux' {
    linux $1 $3
    initrd $2
}
END
}

# grub_core FORMAT PREFIX OUT MODULE...: makes a GRUB core image with the modules that the prefix needs.
grub_core() {
    format=$1 prefix=$2 core=$3
    shift 3
    grub-mkimage -O "$format" -d "$tree/usr/lib/grub/$format" -p "$prefix" -o "$core" "$@"
}

# grub_efi DIRECTORY: installs a GRUB for UEFI that reads grub.cfg in its own directory.
grub_efi() {
    mkdir -p "$1/EFI/BOOT"
    grub_core x86_64-efi /EFI/BOOT "$1/EFI/BOOT/BOOTX64.EFI" \
        boot configfile echo ext2 fat iso9660 linux normal part_gpt part_msdos search serial test
}

# grub_bios PREFIX MODULE SECTOR: installs GRUB's boot code, and its core image at this sector. As with grub-install,
# the other modules are in the root filesystem.
grub_bios() {
    mkdir -p "$root/boot/grub/i386-pc"
    cp "$root"/usr/lib/grub/i386-pc/*.mod "$root"/usr/lib/grub/i386-pc/*.lst "$root/boot/grub/i386-pc/"
    grub_cfg "/$vmlinuz" "/$initrd" "$OPTIONS" >"$root/boot/grub/grub.cfg"
    grub_core i386-pc "$1" "$work/core.img" biosdisk ext2 "$2"
    head -c 440 "$tree/usr/lib/grub/i386-pc/boot.img" >"$work/boot.img"
    put "$work/boot.img" 0
    put "$work/core.img" "$3"
    patch 0x5c "$(le32 "$3")"
    patch "$3 * 512 + 0x1f4" "$(le32 "$(($3 + 1))")"
}

# le32 NUMBER: prints a little-endian number in the notation of printf.
le32() {
    printf '\\%03o\\%03o\\%03o\\%03o' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255))
}

# extlinux_conf KERNEL INITRD OPTIONS
extlinux_conf() {
    printf 'serial 0 115200\ndefault debian\nlabel debian\n    linux %s\n    initrd %s\n    append %s\n' "$1" "$2" "$3"
}

# Prepares the root for extlinux. extlinux can only be installed to a mounted filesystem, so the image is booted with
# this script as init.
extlinux_files() {
    mkdir "$root/boot/extlinux"
    extlinux_conf "/$vmlinuz" "/$initrd" "$OPTIONS" >"$root/boot/extlinux/extlinux.conf"
    cat >"$root/usr/local/sbin/extlinux-init" <<'END'
#!/bin/sh
rm "$0"
exec sh -c '
    extlinux --install /boot/extlinux && mount -o remount,ro / && echo extlinux is installed
    echo o >/proc/sysrq-trigger
    sleep 60
'
END
    chmod 755 "$root/usr/local/sbin/extlinux-init"
}

# extlinux_install DEVICE: boots the image as vda to install extlinux. DEVICE is the root.
extlinux_install() {
    timeout 300 qemu-system-x86_64 -m 512 -nic none -display none -monitor none -serial "file:$work/log" -no-reboot \
        -kernel "$tree/$vmlinuz" -initrd "$tree/$initrd" \
        -append "root=$1 rw init=/usr/local/sbin/extlinux-init console=ttyS0 panic=-1" \
        -drive "file=$image,format=raw,if=virtio" || :
    grep -q '^extlinux is installed' "$work/log" || { tail "$work/log" >&2; exit 1; }
}

# uki OUT OPTIONS: combines systemd's stub with kernel and initramfs, at addresses after the stub's own sections.
uki() {
    printf %s "$2" >"$work/cmdline"
    printf %s "${vmlinuz#*vmlinuz-}" >"$work/uname"
    uki=$1
    at=$((0x100000))
    set --
    for part in "osrel $tree/etc/os-release" "cmdline $work/cmdline" "uname $work/uname" "initrd $tree/$initrd" "linux $tree/$vmlinuz"; do
        file=${part#* } section=.${part%% *}
        set -- "$@" --add-section "$section=$file" --change-section-vma "$section=$at"
        at=$((at + ($(stat -L -c %s "$file") / 4096 + 1) * 4096))
    done
    objcopy "$@" "$tree/usr/lib/systemd/boot/efi/linuxx64.efi.stub" "$uki"
}

# Creates a partition table with an ESP and a root in the usual places, and writes the ESP.
esp_and_root() {
    table $((258 + ROOT_MIB)) <<END
label: gpt
start=1MiB, size=256MiB, type=uefi, name=esp
start=257MiB, size=${ROOT_MIB}MiB, type=$ROOT_TYPE, name=root
END
    fat 256
    put "$work/fat" 2048
}

# Creates the files of a live CD, without a boot loader.
live() {
    mkdir -p "$iso/live"
    cp "$tree/$vmlinuz" "$iso/live/vmlinuz"
    cp "$tree/$initrd" "$iso/live/initrd.img"
    mksquashfs "$tree" "$iso/live/filesystem.squashfs" -comp zstd -Xcompression-level 1 -no-xattrs \
        -no-progress -quiet -e boot >"$work/log"
}

# iso OPTION...: packs the files as ISO 9660.
iso() {
    xorriso -report_about WARNING -as mkisofs -r -J -V LIVE -o "$image" "$@" "$iso"
}

# genimage_disk TABLE: lets genimage create a disk with kernel, initramfs and GRUB in an ESP, and a root.
genimage_disk() {
    copy_tree
    grub_efi "$esp"
    grub_cfg /bzImage /rootfs.cpio "$OPTIONS" >"$esp/EFI/BOOT/grub.cfg"
    cp "$tree/$vmlinuz" "$esp/bzImage"
    cp "$tree/$initrd" "$esp/rootfs.cpio"
    mbr='' gpt=''
    case $1 in
        gpt) gpt=1 ;;
        hybrid) mbr=1 gpt=1 ;;
        mbr) mbr=1 ;;
    esac
    cat >"$work/genimage.cfg" <<END
image efi-part.vfat {
    vfat { files = { "EFI", "bzImage", "rootfs.cpio" } }
    size = 64M
}
image rootfs.ext4 {
    ext4 { use-mke2fs = true label = "rootfs" extraargs = "-U $ROOT_UUID" }
    size = ${ROOT_MIB}M
}
image image {
    hdimage { partition-table-type = "$1" }
    partition boot {
        ${mbr:+partition-type = 0xEF} ${gpt:+partition-type-uuid = c12a7328-f81f-11d2-ba4b-00a0c93ec93b}
        image = "efi-part.vfat"
    }
    partition root {
        ${mbr:+partition-type = 0x83} ${gpt:+partition-type-uuid = 0fc63daf-8483-4772-8e79-3d69d8477de4}
        image = "rootfs.ext4"
    }
}
END
    genimage --loglevel 0 --config "$work/genimage.cfg" --rootpath "$root" --inputpath "$esp" --outputpath "$work" --tmppath "$work/tmp"
}

mkdir -p "$esp/EFI/BOOT"
case $kind in
debian-cloud)
    copy_tree
    echo 'UUID=1234-5678 /boot/efi vfat umask=0077 0 1' >>"$root/etc/fstab"
    mkdir -p "$root/boot/efi" "$esp/EFI/debian"
    cp "$tree/usr/lib/shim/shimx64.efi.signed" "$esp/EFI/BOOT/BOOTX64.EFI"
    cp "$tree/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed" "$esp/EFI/BOOT/grubx64.efi"
    cp "$tree/usr/lib/shim/shimx64.efi.signed" "$esp/EFI/debian/shimx64.efi"
    cp "$tree/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed" "$esp/EFI/debian/grubx64.efi"
    cat >"$esp/EFI/debian/grub.cfg" <<END
search.fs_uuid $ROOT_UUID root
set prefix=(\$root)'/boot/grub'
configfile \$prefix/grub.cfg
END
    table $((129 + ROOT_MIB)) <<END
label: gpt
1 : start=262144, size=${ROOT_MIB}MiB, type=$ROOT_TYPE
14 : start=2048, size=6144, type=21686148-6449-6e6f-744e-656564454649
15 : start=8192, size=253952, type=uefi
END
    fat 124
    put "$work/fat" 8192
    grub_bios '(,gpt1)/boot/grub' part_gpt 2048
    ext4 128
    ;;
genimage-*)
    genimage_disk "${kind#*-}"
    ;;
grub-mbr)
    copy_tree
    echo 'start=2048, type=83, bootable' | table $((1 + ROOT_MIB))
    grub_bios '(,msdos1)/boot/grub' part_msdos 1
    ext4 1
    ;;
extlinux)
    copy_tree
    extlinux_files
    echo 'start=2048, type=83, bootable' | table $((1 + ROOT_MIB))
    put "$tree/usr/lib/EXTLINUX/mbr.bin" 0
    ext4 1 -O ^64bit,^metadata_csum
    extlinux_install /dev/vda1
    ;;
superfloppy)
    copy_tree
    extlinux_files
    truncate -s "${ROOT_MIB}M" "$image"
    ext4 0 -O ^64bit,^metadata_csum
    extlinux_install /dev/vda
    ;;
syslinux-fat)
    copy_tree
    rm -r "$esp/EFI"
    cp "$tree/$vmlinuz" "$esp/vmlinuz"
    cp "$tree/$initrd" "$esp/initrd.img"
    extlinux_conf /vmlinuz /initrd.img "$OPTIONS" >"$esp/syslinux.cfg"
    table $((65 + ROOT_MIB)) <<END
label: dos
start=1MiB, size=64MiB, type=c, bootable
start=65MiB, type=83
END
    put "$tree/usr/lib/syslinux/mbr/mbr.bin" 0
    fat 64
    syslinux --install "$work/fat"
    put "$work/fat" 2048
    ext4 65
    ;;
uki)
    copy_tree
    uki "$esp/EFI/BOOT/BOOTX64.EFI" "$OPTIONS"
    esp_and_root
    ext4 257
    ;;
uki-systemd-boot)
    copy_tree
    mkdir -p "$esp/EFI/Linux" "$esp/loader"
    cp "$tree/usr/lib/systemd/boot/efi/systemd-bootx64.efi" "$esp/EFI/BOOT/BOOTX64.EFI"
    uki "$esp/EFI/Linux/debian.efi" "$OPTIONS"
    esp_and_root
    ext4 257
    ;;
uki-erofs)
    uki "$esp/EFI/BOOT/BOOTX64.EFI" "root=/dev/disk/by-partlabel/root rootfstype=erofs ro $CONSOLE"
    esp_and_root
    mkfs.erofs -U "$ROOT_UUID" "$work/erofs" "$tree" >"$work/log"
    put "$work/erofs" $((257 * 2048))
    ;;
isolinux)
    live
    mkdir "$iso/isolinux"
    cp "$tree/usr/lib/ISOLINUX/isolinux.bin" "$tree/usr/lib/syslinux/modules/bios/ldlinux.c32" "$iso/isolinux/"
    extlinux_conf /live/vmlinuz /live/initrd.img "boot=live $CONSOLE" >"$iso/isolinux/isolinux.cfg"
    iso -isohybrid-mbr "$tree/usr/lib/ISOLINUX/isohdpfx.bin" \
        -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table
    ;;
efi-iso)
    live
    grub_efi "$esp"
    grub_cfg /live/vmlinuz /live/initrd.img "boot=live $CONSOLE" >"$esp/EFI/BOOT/grub.cfg"
    fat 8
    iso -append_partition 2 0xef "$work/fat" -appended_part_as_gpt -e --interval:appended_partition_2:all:: -no-emul-boot
    ;;
grub-iso)
    live
    mkdir -p "$iso/boot/grub"
    grub_cfg /live/vmlinuz /live/initrd.img "boot=live $CONSOLE" >"$iso/boot/grub/grub.cfg"
    grub-mkrescue -o "$image" "$iso" -- -report_about WARNING
    ;;
*)
    echo "unknown kind: $kind" >&2
    exit 2
    ;;
esac
mv "$image" "$out"
