import os
import pty
import subprocess
import sys

import pytest

from pixelproof.system import progress as module
from pixelproof.system.progress import progress


def test_a_log_gets_plain_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PLAIN_SECONDS", 0.0)
    with progress(30, "reading") as update:
        update(10)
        update(20)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("reading: 10/30 images, ")
    assert lines[0].endswith(" s left")
    assert lines[1].startswith("reading: 30/30 images, ")


def test_a_terminal_gets_a_bar() -> None:
    code = (
        "from pixelproof.system.progress import progress\n"
        "with progress(4, 'reading') as update:\n"
        "    for _ in range(4): update(1)\n"
    )
    leader, follower = pty.openpty()
    subprocess.run([sys.executable, "-c", code], stderr=follower, check=True)
    os.close(follower)
    shown = os.read(leader, 10_000).decode()
    os.close(leader)
    assert "reading: 100%" in shown
    assert "4/4" in shown
    assert "images/s" in shown
