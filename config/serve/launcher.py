"""Run by path, not imported: prepares its own process, then becomes the given program.

    python -I -S launcher.py --parent PID [--death-signal N] [--uid N] -- PROGRAM ARGUMENT...

Two things have to be arranged in the new process itself: that it ends when its parent does, and that it runs
under another uid than root, on which PostgreSQL insists. Doing them between the fork and the exec of a process that
has threads is not safe; hence this file, which needs 20 ms and nothing but the standard library. Linux only.
"""

import argparse
import ctypes
import os
import signal
import sys

CANNOT_DROP_ROOT = 126  # exit code: the kernel refused another uid or its capability
CANNOT_EXECUTE = 127

PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def _prctl(option: int, *values: int) -> None:
    padded = (*values, 0, 0, 0, 0)[:4]
    _call("prctl", option, *(ctypes.c_ulong(value) for value in padded))


def become(uid: int) -> None:
    """Give up root for `uid`, keeping the one capability to enter folders that are closed to it.

    The project may lie under a home that only root may enter. The capability stands in for what is else done
    about that: adding a user to the system and opening every parent folder to all.

    Raises OSError where the kernel or the container withholds the capabilities for it.
    """
    _prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    only = 1 << CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    effective_permitted_inheritable = (ctypes.c_uint32 * 6)(only, only, only, 0, 0, 0)
    _call("capset", header, effective_permitted_inheritable)
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE)


def die_with(parent: int, death_signal: int) -> None:
    """Ask the kernel for `death_signal` when the parent ends; end now if it already has."""
    _prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:
        sys.exit(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--death-signal", type=int, default=signal.SIGKILL)
    parser.add_argument("--uid", type=int)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    if options.uid is not None:
        try:
            become(options.uid)
        except OSError as fault:
            sys.stderr.write(f"{fault.strerror}\n")
            sys.exit(CANNOT_DROP_ROOT)
    # After the change of uid, which would clear it.
    die_with(options.parent, options.death_signal)
    try:
        os.execvp(options.command[0], options.command)  # noqa: S606 - that is its purpose
    except OSError as fault:
        sys.stderr.write(f"{options.command[0]}: {fault.strerror}\n")
        sys.exit(CANNOT_EXECUTE)


if __name__ == "__main__":
    main()
