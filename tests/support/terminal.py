"""A terminal of a given width, and what a command writes on it."""

import errno
import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Sequence


def on_terminal(command: Sequence[str], columns: int, **variables: str) -> str:
    """What a command, which must succeed, writes on a terminal to standard output and error."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    inherited = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    environment = {**inherited, "TERM": "xterm-256color", **variables}  # those are of another width
    process = subprocess.Popen(command, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    shown = b""
    try:
        while part := os.read(leader, 10_000):
            shown += part
    except OSError as error:  # Linux says so when the other end is closed
        assert error.errno == errno.EIO
    os.close(leader)
    assert process.wait() == 0, shown
    return shown.decode().replace("\r\n", "\n")
