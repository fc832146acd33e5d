import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pixelproof.errors import ServiceError
from pixelproof.system.locks import hold, is_held

BUSY = ServiceError("another process works here")
HOLD = (
    "import sys, time; from pathlib import Path; from pixelproof.errors import ServiceError\n"
    "from pixelproof.system.locks import hold\n"
    "with hold(Path(sys.argv[1]), ServiceError('busy')):\n"
    "    print('held', flush=True); time.sleep(60)\n"
)


def holder(path: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", HOLD, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_dies_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lock"
    assert not is_held(path)
    with holder(path) as process:
        assert is_held(path)
        with pytest.raises(ServiceError, match="another process works here"), hold(path, BUSY):
            pass
        began = time.monotonic()
        with pytest.raises(ServiceError), hold(path, BUSY, seconds=0.3):
            pass
        assert time.monotonic() - began >= 0.3
        process.send_signal(signal.SIGKILL)
        with hold(path, BUSY, seconds=30):
            assert is_held(path)
    assert not is_held(path)
    assert path.is_file(), "to delete it would let two processes hold it"


def test_an_error_within_frees_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with pytest.raises(ZeroDivisionError), hold(path, BUSY):
        raise ZeroDivisionError
    assert not is_held(path)


def test_who_asks_is_not_taken_for_the_holder(tmp_path: Path) -> None:
    import fcntl

    path = tmp_path / "lock"
    path.touch()
    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)  # as `is_held` of another process
        assert not is_held(path)


def test_a_private_lock_is_never_another_user_s_to_read(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with hold(tmp_path / "private", BUSY, private=True):
            assert (tmp_path / "private").stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)
