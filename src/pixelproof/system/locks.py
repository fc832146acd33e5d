"""Locks between the processes of this machine: the kernel frees one when its holder dies."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from pixelproof.errors import PixelproofError


@contextmanager
def hold(
    path: Path, busy: PixelproofError, seconds: float = 0.0, *, private: bool = False
) -> Iterator[None]:
    """Hold a lock while the block runs.

    Args:
        path: Of the lock's file, which stays when the lock is released. Its folder is made where
            it is missing.
        busy: Is raised where another process holds the lock.
        seconds: How long to wait for that process first.
        private: Whether only this user may read the file, from the moment it is made.

    Raises:
        PixelproofError: `busy`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without flock filelock would fall back to a file that a killed process leaves locked.
    on = partial(FileLock, path, timeout=seconds, fallback_to_soft=False)
    lock = on(mode=0o600) if private else on()
    try:
        lock.acquire()
    except Timeout:
        raise busy from None
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Whether a process holds a lock; False where there is no such file.

    This asks with a shared lock, which filelock does not offer: two processes that ask at the same
    time must not take each other for the holder.
    """
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
