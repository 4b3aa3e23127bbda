"""What a grader's process may not do: start processes, use the network, fill memory or disk. It contains accidents and crude
attacks; it is no sandbox for the programs of an enemy (files can be read), which is why code runs only with consent."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from contextlib import suppress
from typing import Any

PROCESSES = ("os.fork", "os.posix_spawn", "os.spawn", "os.exec", "os.system", "subprocess.Popen", "pty.spawn")
NETWORK = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname")
FILE_BYTES = 64 << 20


def confine(memory_mb: int) -> None:
    """Confine this process for good. What the platform lacks is left out."""
    with suppress(ImportError):
        import resource

        for limit, most in (
            (resource.RLIMIT_AS, memory_mb << 20),
            (resource.RLIMIT_FSIZE, FILE_BYTES),
            (resource.RLIMIT_NOFILE, 256),
            (resource.RLIMIT_CORE, 0),
        ):
            with suppress(ValueError, OSError):
                resource.setrlimit(limit, (most, most))
    sys.addaudithook(_refuse)
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            _filter_calls()


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Words for what the filter below refuses anyway."""
    if event.startswith(PROCESSES):
        raise PermissionError("a grader may not start processes")
    if event in NETWORK:
        raise PermissionError("a grader may not use the network")


_CALLS = {
    # clone, socket; then what is refused: execve, execveat, kill, ptrace, pidfd_send_signal, process_vm_writev, io_uring_setup, forks
    "x86_64": (0xC000003E, 56, 41, (59, 322, 62, 101, 424, 311, 425, 57, 58)),
    "aarch64": (0xC00000B7, 220, 198, (221, 281, 129, 117, 424, 271, 425)),
}
_CLONE3, _CLONE_THREAD, _ENOSYS, _EPERM = 435, 0x10000, 38, 1


def _filter_calls() -> None:
    """A seccomp filter (classic BPF over the call's number and first argument): threads may start, processes may not; sockets are local.
    RLIMIT_NPROC would not do: it counts all processes of a user, and does not hold for root."""
    if platform.machine() not in _CALLS:
        return
    arch, clone, socket, refused = _CALLS[platform.machine()]
    load, equal, at_least, bits, end = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF_LD|W|ABS, JEQ, JGE, JSET, RET
    number, architecture, first = 0, 4, 16
    allow, error = 0x7FFF0000, 0x00050000
    code = [
        (load, 0, 0, architecture),
        (equal, 1, 0, arch),
        (end, 0, 0, error | _EPERM),
        (load, 0, 0, number),
        (at_least, 0, 1, 0x40000000),  # x86_64: the x32 numbers
        (end, 0, 0, error | _EPERM),
        (equal, 0, 1, _CLONE3),  # its arguments lie in memory; libc takes clone then
        (end, 0, 0, error | _ENOSYS),
    ]
    for call in refused:
        code += [(equal, 0, 1, call), (end, 0, 0, error | _EPERM)]
    code += [
        (equal, 0, 3, clone),
        (load, 0, 0, first),
        (bits, 5, 0, _CLONE_THREAD),
        (end, 0, 0, error | _EPERM),
        (equal, 0, 3, socket),
        (load, 0, 0, first),
        (equal, 1, 0, 1),  # AF_UNIX
        (end, 0, 0, error | _EPERM),
        (end, 0, 0, allow),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *c) for c in code))

    class Prog(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong]
    prog = Prog(len(code), ctypes.cast(program, ctypes.c_void_p))
    for option, value, pointer in ((38, 1, None), (22, 2, ctypes.addressof(prog))):  # PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP
        if libc.prctl(option, value, pointer, 0, 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
