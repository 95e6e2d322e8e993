#!/usr/bin/env python3
"""usage: watch.py IMAGE: boots a UEFI image with the same QEMU options as ister, until the login prompt.

It does what a person would do by hand: start QEMU, read its serial console, and stop when "login: " appears."""
import os, re, subprocess, sys, time

FIRMWARE = "/usr/share/OVMF/OVMF_%s_4M.fd"
command = [
    "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
    "-machine", "q35,graphics=off", "-accel", "tcg,thread=multi", "-cpu", "max,-erms,-fsrm", "-smp", "2", "-m", "1024",
    "-boot", "strict=on", "-device", "VGA", "-device", "virtio-rng-pci", "-serial", "stdio",
    "-netdev", "user,id=net0,restrict=on", "-device", "virtio-net-pci,netdev=net0,romfile=",
    "-drive", f"if=pflash,format=raw,file={FIRMWARE % 'CODE'},readonly=on",
    "-drive", f"if=pflash,format=raw,file={FIRMWARE % 'VARS'},snapshot=on",
    "-drive", f"if=none,id=disk0,file={sys.argv[1]},format=raw,snapshot=on,cache=unsafe",
    "-device", "virtio-blk-pci,drive=disk0,bootindex=0",
]
qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
seen, until = b"", time.monotonic() + 300
while not re.search(rb"\n\S+ login: $", seen):
    piece = os.read(qemu.stdout.fileno(), 65536)
    if not piece or time.monotonic() > until:
        sys.exit("no login prompt")
    seen = (seen + piece)[-4096:]
qemu.kill()
qemu.wait()
