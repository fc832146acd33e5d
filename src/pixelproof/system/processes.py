"""Child processes that do not outlive the one that started them, however it ends."""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LAUNCH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it dies.

    An orphan would go on writing while the next run starts beside it.
    """
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the request reached the kernel
        os.kill(os.getpid(), signal.SIGKILL)


def bound(command: Sequence[str]) -> list[str]:
    """The command line that runs a command and has it killed when its parent dies.

    A small process asks the kernel for that and becomes the command: to ask between fork and
    exec is not safe in a process with threads. It holds for the thread that starts the child,
    which must wait for it.
    """
    return [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), *command]


def kept(command: Sequence[str]) -> list[str]:
    """The command line that runs a service so that nothing of it outlives this process.

    As `bound`, but for everything that the service starts; it gets some seconds to end first.
    SIGTERM to the process ends the same way.
    """
    keeper = Path(__file__).with_name("subreaper.py")
    return [sys.executable, "-I", "-S", str(keeper), str(os.getpid()), *command]


def environment(**variables: str) -> dict[str, str]:
    """This process's environment, where the commands beside its Python are found first."""
    folder = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", "")
    return {
        **os.environ,
        "PATH": os.pathsep.join([folder, path] if path else [folder]),
        **variables,
    }
