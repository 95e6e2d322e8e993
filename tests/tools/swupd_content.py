#!/usr/bin/env python3
"""Creates swupd content from a tree: manifests, packs, full files, signatures. For tests; shares no code with ister.

    swupd_content.py WWW VERSION TREE KEYS [--format N] [--previous N] [--bundle NAME=PATH,...]... [--include NAME=NAME,...]
                     [--full-files] [--gzip]

WWW is the directory behind the content URL. KEYS contains key.pem and cert.pem; they are created if they do not exist. Each
--bundle moves the entries at and below its paths (relative, without a leading slash) out of os-core. os-core contains the
rest, and all other bundles include it.
"""

import argparse
import gzip
import hashlib
import hmac
import io
import lzma
import os
import stat
import subprocess
import tarfile
import time


def swupd_hash(mode, uid, gid, size, data):
    fields = b"".join(n.to_bytes(8, "little") for n in (mode, uid, gid, 0, size))
    inner = hmac.new(fields, b"", hashlib.sha256).hexdigest()
    return hmac.new(inner.encode(), data, hashlib.sha256).hexdigest()


class Entry:
    def __init__(self, root, path):
        self.path = path
        full = os.path.join(root, path)
        st = os.lstat(full)
        self.uid, self.gid, self.mtime = st.st_uid, st.st_gid, int(st.st_mtime)
        self.mode = stat.S_IMODE(st.st_mode)
        self.data = b""
        if stat.S_ISLNK(st.st_mode):
            self.letter, self.target = b"L", os.readlink(full)
            self.size = len(self.target)
            self.hash = swupd_hash(0, self.uid, self.gid, self.size, self.target)
        elif stat.S_ISDIR(st.st_mode):
            self.letter, self.size = b"D", 0
            self.hash = swupd_hash(st.st_mode, self.uid, self.gid, 0, b"DIRECTORY")
        else:
            self.letter = b"F"
            with open(full, "rb") as file:
                self.data = file.read()
            self.size = len(self.data)
            self.hash = swupd_hash(st.st_mode, self.uid, self.gid, self.size, self.data)

    def line(self, version):
        return b"%s...\t%s\t%d\t/%s\n" % (self.letter, self.hash.encode(), version, self.path)

    def add_to(self, tar, name):
        info = tarfile.TarInfo(name)
        info.mode, info.uid, info.gid, info.mtime = self.mode, self.uid, self.gid, self.mtime
        # A name that does not match the number on any host: only the numbers may be used.
        info.uname = info.gname = "somebody"
        if self.letter == b"L":
            info.type, info.linkname = tarfile.SYMTYPE, os.fsdecode(self.target)
        elif self.letter == b"D":
            info.type = tarfile.DIRTYPE
        else:
            info.size = self.size
        tar.addfile(info, io.BytesIO(self.data) if self.letter == b"F" else None)


def entries(root):
    root = os.fsencode(root)
    for directory, directories, files in os.walk(root):
        for name in sorted(directories + files):
            path = os.path.relpath(os.path.join(directory, name), root)
            mode = os.lstat(os.path.join(root, path)).st_mode
            if stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode):
                yield Entry(root, path)


def tar_of(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    return lzma.compress(out.getvalue(), preset=1)


def put(directory, name, data):
    with open(os.path.join(directory, name), "wb") as file:
        file.write(data)


def sign(keys, data):
    return subprocess.run(
        ["openssl", "smime", "-sign", "-binary", "-outform", "DER", "-md", "sha256",
         "-signer", keys + "/cert.pem", "-inkey", keys + "/key.pem"],
        input=data, stdout=subprocess.PIPE, check=True).stdout


def make_keys(keys):
    os.makedirs(keys, exist_ok=True)
    if not os.path.exists(keys + "/cert.pem"):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/O=ister/CN=Test signer",
             "-addext", "basicConstraints=CA:FALSE", "-addext", "extendedKeyUsage=codeSigning",
             "-keyout", keys + "/key.pem", "-out", keys + "/cert.pem"],
            check=True, stderr=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("www")
    parser.add_argument("version", type=int)
    parser.add_argument("tree")
    parser.add_argument("keys")
    parser.add_argument("--format", type=int, default=30)
    parser.add_argument("--previous", type=int, default=0)
    parser.add_argument("--bundle", action="append", default=[])
    parser.add_argument("--include", action="append", default=[])
    parser.add_argument("--full-files", action="store_true")
    parser.add_argument("--gzip", action="store_true", help="compress packs with gzip: larger, but ten times as fast")
    args = parser.parse_args()
    make_keys(args.keys)
    directory = os.path.join(args.www, str(args.version))
    os.makedirs(os.path.join(directory, "files"), exist_ok=True)

    bundles = {"os-core": []}
    paths = {}
    for text in args.bundle:
        name, _, prefixes = text.partition("=")
        bundles[name] = []
        paths.update({prefix.encode(): name for prefix in prefixes.split(",") if prefix})
    includes = {name: ["os-core"] for name in bundles if name != "os-core"}
    for text in args.include:
        name, _, more = text.partition("=")
        includes.setdefault(name, []).extend(more.split(","))

    def owner(path):
        while path:
            if path in paths:
                return paths[path]
            path = os.path.dirname(path)
        return "os-core"

    for entry in entries(args.tree):
        bundles[owner(entry.path)].append(entry)

    now = int(time.time())
    lines = b""
    for name, listed in sorted(bundles.items()):
        head = "MANIFEST\t%d\nversion:\t%d\nprevious:\t%d\nfilecount:\t%d\ntimestamp:\t%d\ncontentsize:\t%d\n" % (
            args.format, args.version, args.previous, len(listed), now, sum(entry.size for entry in listed))
        head += "".join("includes:\t%s\n" % other for other in includes.get(name, []))
        listed.sort(key=lambda entry: entry.path)
        text = head.encode() + b"\n" + b"".join(entry.line(args.version) for entry in listed)
        put(directory, "Manifest." + name, text)
        put(directory, "Manifest.%s.tar" % name, tar_of([("Manifest." + name, text)]))
        lines += b"M...\t%s\t%d\t%s\n" % (
            swupd_hash(0o100644, 0, 0, len(text), text).encode(), args.version, name.encode())
        objects = {entry.hash: entry for entry in listed}
        if objects:
            pack = os.path.join(directory, "pack-%s-from-0.tar" % name)
            with gzip.open(pack, "wb", 1) if args.gzip else lzma.open(pack, "wb") as out:
                with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
                    for hash_, entry in objects.items():
                        entry.add_to(tar, "staged/" + hash_)
        for hash_, entry in objects.items() if args.full_files else ():
            with tarfile.open(os.path.join(directory, "files", hash_ + ".tar"), "w:gz", format=tarfile.PAX_FORMAT) as tar:
                entry.add_to(tar, hash_)
    mom = "MANIFEST\t%d\nversion:\t%d\nprevious:\t%d\nfilecount:\t%d\ntimestamp:\t%d\ncontentsize:\t0\n\n" % (
        args.format, args.version, args.previous, len(bundles), now)
    mom = mom.encode() + lines
    signature = sign(args.keys, mom)
    put(directory, "Manifest.MoM", mom)
    put(directory, "Manifest.MoM.sig", signature)
    put(directory, "Manifest.MoM.tar", tar_of([("Manifest.MoM", mom), ("Manifest.MoM.sig", signature)]))
    put(directory, "format", str(args.format).encode())
    latest = os.path.join(args.www, "version", "format%d" % args.format)
    os.makedirs(latest, exist_ok=True)
    number = str(args.version).encode()
    put(latest, "latest", number)
    put(latest, "latest.sig", sign(args.keys, number))


main()
