"""A small process that runs a service, and ends all that the service started: `processes.kept`.

    python -I -S subreaper.py PARENT COMMAND …

The kernel's signal that a parent has died reaches its children, but not their children: a
server's own processes, or the flow that a worker runs, would live on. Their parent becomes this
process instead, which outlives its own parent for as long as it takes to end them.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

GRACE_SECONDS = 10.0  # for what a service has started, a flow that stops its stages among it
LAST_SECONDS = 4.0  # for the service itself, which then has nothing more to wait for
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_ORDERS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


def _parents() -> dict[int, int]:
    """The parent of each process that lives."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:  # it has ended meanwhile
            continue
        if state != "Z":
            parents[int(path.parent.name)] = int(parent)
    return parents


def descendants(root: int) -> list[int]:
    """All that a process has started and that still lives, parents before their children."""
    parents = _parents()
    pids = [root]
    for ancestor in pids:  # which grows meanwhile
        pids += [pid for pid, parent in parents.items() if parent == ancestor]
    return pids[1:]


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _reap() -> dict[int, int]:
    """What has ended, and how."""
    ended = {}
    with suppress(ChildProcessError):
        while (child := os.waitpid(-1, os.WNOHANG))[0]:
            ended[child[0]] = os.waitstatus_to_exitcode(child[1])
    return ended


def _end(service: int) -> None:
    """End what a service runs, then the service, then what is left.

    In this order, because a worker that is asked to end ends its flow without a word to anybody:
    the flow tells the server that it was ended as long as the worker lives.
    """
    asked: set[int] = set()
    end = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < end:
        parents = _parents()
        above = (service, os.getpid())  # what a service that is gone has left comes to this process
        runs = {pid for pid, parent in parents.items() if parent in above} - {service}
        if not runs:
            break
        _signal(runs - asked, signal.SIGTERM)
        asked |= runs
        _reap()
        time.sleep(0.02)
    _signal({service}, signal.SIGTERM)
    end = time.monotonic() + LAST_SECONDS
    while descendants(os.getpid()) and time.monotonic() < end:
        _reap()
        time.sleep(0.02)
    while left := descendants(os.getpid()):
        _signal(left, signal.SIGKILL)
        _reap()
        time.sleep(0.01)


def _start(command: list[str]) -> int:
    keeper = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_ORDERS, signal.SIGCHLD})
    if os.getppid() == keeper:
        os.execvp(command[0], command)
    os._exit(1)


def main(arguments: list[str]) -> int:
    """Run a command until it ends or is to end; returns how it ended, as a shell would say it."""
    parent, command = int(arguments[0]), arguments[1:]
    signal.pthread_sigmask(signal.SIG_BLOCK, {*_ORDERS, signal.SIGCHLD})
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    if os.getppid() != parent:  # it died before the kernel was told
        return 1
    service = _start(command)
    while True:
        number = signal.sigwait({*_ORDERS, signal.SIGCHLD})
        ended = _reap()
        if number != signal.SIGCHLD or service in ended:
            _end(service)
            code = ended.get(service, -number)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
