"""Run one command, and let neither it nor anything it started outlive the process that asked for it.

    python -I -S tether.py GRACE_SECONDS LOCK_FILE COMMAND...

The asker holds the other end of stdin. On a byte there, or on SIGTERM, the command gets SIGTERM and, after the grace,
SIGKILL; whatever it leaves behind is killed too. The same when stdin closes without a byte (the asker was killed), but
soon: the servers to which the command would say its last words are ending as well. The lock is held for as long as any
of this lives, and waited for first: the command never runs beside a former one that is still ending. A file of its own,
standard library only, so that it starts in a few hundredths of a second. Exits as the command did (128 + signal, as
shells do).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
NOT_STARTED = 127
LOCK_POLL_SECONDS = 0.05
ORPHANED_GRACE_SECONDS = 5.0

libc = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    grace, lock, command = float(sys.argv[1]), sys.argv[2], sys.argv[3:]
    # orphans of the command become ours, whatever session they moved to, so that all of them can be found
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    woken = wake_on_signals()
    if not hold(lock, woken):
        return 0
    pid = start(command)
    status = watch(pid, grace, woken)
    kill_orphans()
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def wake_on_signals() -> int:
    """A descriptor that becomes readable on every signal that matters here; each byte is the signal's number."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return woken


def hold(lock: str, woken: int) -> bool:
    """Take the lock, for the command too should it outlive us; False when we are to end before it is free."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(descriptor, True)
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            readable, _, _ = select.select([0, woken], [], [], LOCK_POLL_SECONDS)
            if readable:
                return False
        else:
            return True


def start(command: list[str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # should the tether itself be killed
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        os.execvp(command[0], command)  # noqa: S606 - an argument list, no shell
    except OSError as error:
        os.write(2, f"{command[0]} cannot be started: {error}\n".encode())
    os._exit(NOT_STARTED)


def watch(pid: int, grace: float, woken: int) -> int:
    """Wait until the command ends, by itself or by order; its wait status."""
    deadline = None
    asker = [0]
    while (status := reap(pid)) is None:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        readable, _, _ = select.select([*asker, woken], [], [], left)
        signals = os.read(woken, 64) if woken in readable else b""
        if not readable:
            os.kill(pid, signal.SIGKILL)
            deadline = None
        elif deadline is None and (0 in readable or set(signals) - {signal.SIGCHLD}):
            os.kill(pid, signal.SIGTERM)
            orphaned = 0 in readable and os.read(0, 1) == b""
            deadline = time.monotonic() + (min(grace, ORPHANED_GRACE_SECONDS) if orphaned else grace)
            asker = []  # from here on it is always readable
    return status


def reap(pid: int) -> int | None:
    """Collect every child that ended, adopted ones too; the wait status of `pid` if it was among them."""
    found = None
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if ended == 0:
            return found
        if ended == pid:
            found = status


def kill_orphans() -> None:
    """SIGKILL for every process below this one; as parents go, their children become ours and go next."""
    while children := my_children():
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def my_children() -> list[int]:
    me = os.getpid()
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and parent_of(entry) == me]


def parent_of(entry: Path) -> int | None:
    try:
        stat = (entry / "stat").read_text(errors="replace")
    except OSError:  # ended while we looked
        return None
    return int(stat.rpartition(")")[2].split()[1])


if __name__ == "__main__":
    sys.exit(main())
