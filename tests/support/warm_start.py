"""Commands that start warm: forked from a process that has imported torch, MLflow and the rest.

A stage takes two seconds of processor time to start and milliseconds to run on a toy. The command
is the same code in a process of its own, so all tests use it but those that are about processes,
signals, what a start imports, or the servers.
"""

import atexit
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import NoReturn

from tests.conftest import ROOT

SHIM = Path(__file__).parent / "warm"
PRELOADED = (
    "dvc.api",
    "pixelproof.cli.app",
    "pixelproof.promotion.contest",
    "pixelproof.stages.attack",
    "pixelproof.stages.baseline",
    "pixelproof.stages.compare",
    "pixelproof.stages.evaluate",
    "pixelproof.stages.finetune",
    "pixelproof.stages.generate",
    "pixelproof.stages.select",
    "pixelproof.tracking.client",
    "pixelproof.tracking.history",
)


@cache
def warm() -> dict[str, str]:
    """Environment variables by which `pixelproof` starts warm; one process for all of a worker's.

    That process ends with the one that has started it.
    """
    address = Path(tempfile.mkdtemp(prefix="warm-")) / "socket"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.warm_start", str(address)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"warm\n"
    atexit.register(_end, process, address.parent)
    here = Path(sys.executable).parent
    return {
        "PATH": os.pathsep.join([str(SHIM), str(here), os.environ["PATH"]]),
        "PIXELPROOF_WARM": str(address),
        "PIXELPROOF_REAL": str(here / "pixelproof"),
    }


def _end(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    process.communicate()  # ends its standard input
    shutil.rmtree(folder, ignore_errors=True)


def serve(address: str) -> None:
    """Import everything, then fork for each command until standard input ends."""
    import importlib

    for name in PRELOADED:
        importlib.import_module(name)
    assert threading.active_count() == 1, "a process with threads cannot be forked"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    print("warm", flush=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            return
        link, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _answer(link)
        link.close()


def _answer(link: socket.socket) -> NoReturn:
    """Be the command that is asked for."""
    from pixelproof.cli.main import main

    text, streams, _, _ = socket.recv_fds(link, 2**20, 3)
    while more := link.recv(2**20):
        text += more
    asked = json.loads(text)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    for one in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGTERM):
        signal.signal(one, signal.SIG_DFL if one != signal.SIGPIPE else signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.argv = [os.environ["PIXELPROOF_REAL"], *asked["words"]]
    try:
        code = main()
    except SystemExit as end:
        code = 1
        if end.code is None or isinstance(end.code, int):
            code = end.code or 0
        else:
            print(end.code, file=sys.stderr)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    link.sendall(str(code).encode())
    os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
