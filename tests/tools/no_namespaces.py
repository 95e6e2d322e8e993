"""Runs a program with unshare(2) denied, as in a container with a strict seccomp profile."""

import ctypes
import os
import struct
import sys

# Sources: seccomp(2); Linux, include/uapi/linux/filter.h and audit.h.
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, DENY = 0x7FFF0000, 0x00050001
X86_64, UNSHARE = 0xC000003E, 272
PROGRAM = [
    (LOAD, 0, 0, 4),
    (JUMP_IF_EQUAL, 1, 0, X86_64),
    (RETURN, 0, 0, ALLOW),
    (LOAD, 0, 0, 0),
    (JUMP_IF_EQUAL, 0, 1, UNSHARE),
    (RETURN, 0, 0, DENY),
    (RETURN, 0, 0, ALLOW),
]
NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2

code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in PROGRAM))
program = struct.pack("HxxxxxxQ", len(PROGRAM), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
for arguments in [(NO_NEW_PRIVILEGES, 1, 0, 0, 0), (SECCOMP, FILTER, program, 0, 0)]:
    if libc.prctl(*arguments) != 0:
        sys.exit(f"prctl{arguments[:2]}: {os.strerror(ctypes.get_errno())}")
os.execvp(sys.argv[1], sys.argv[1:])
