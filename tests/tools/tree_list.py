#!/usr/bin/env python3
"""Lists a tree, one entry per line: path, type, mode, owner, group, size, sha256, link target. Sorted by path bytes."""

import hashlib
import os
import stat
import sys

OWN = (b"/var/lib/swupd/swupd_lock", b"/var/lib/swupd/telemetry/")


def shown(raw):
    out = ""
    while raw:
        for length in range(1, 5):
            try:
                char = raw[:length].decode()
            except UnicodeDecodeError:
                continue
            break
        else:
            length, char = 1, "\\"
        plain = char != "\\" and ord(char) >= 32 and ord(char) != 127
        out += char if plain else "".join("\\x%02x" % byte for byte in raw[:length])
        raw = raw[length:]
    return out


def main():
    root = os.fsencode(sys.argv[1])
    rows = []
    for directory, directories, files in os.walk(root):
        for name in directories + files:
            full = os.path.join(directory, name)
            path = full[len(root):]
            if path.startswith(OWN):
                continue
            st = os.lstat(full)
            mode, size, digest, target = "%04o" % stat.S_IMODE(st.st_mode), st.st_size, "-", "-"
            if stat.S_ISLNK(st.st_mode):
                kind, mode, target = "l", "-", shown(os.readlink(full))
            elif stat.S_ISDIR(st.st_mode):
                kind, size = "d", "-"
            else:
                kind = "f"
                with open(full, "rb") as file:
                    digest = hashlib.sha256(file.read()).hexdigest()
            rows.append((path, [shown(path), kind, mode, st.st_uid, st.st_gid, size, digest, target]))
    print("#path\ttype\tmode\tuid\tgid\tsize\tsha256\tlinktarget")
    for _, row in sorted(rows):
        print("\t".join(map(str, row)))


main()
