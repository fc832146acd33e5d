import re
import subprocess
import sys

import pytest

from pixelproof.system import progress as module
from pixelproof.system.progress import progress
from tests.support.terminal import on_terminal


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
        "from pixelproof.system.progress import progress, say\n"
        "with progress(4, 'reading [a]') as update:\n"
        "    for _ in range(4): update(1)\n"
        "    say('beside it')\n"
    )
    shown = on_terminal([sys.executable, "-c", code], 120)
    shown = re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", shown)
    assert "\nbeside it" in shown.replace("\r", "\n")
    last = shown.splitlines()[-1]
    assert last.startswith("reading [a] ━")
    assert " 100% 4/4 " in last
    assert " images/s " in last


def test_a_log_does_without_the_library_of_bars() -> None:
    code = (
        "import sys\n"
        "from pixelproof.system.progress import progress\n"
        "with progress(4, 'reading') as update: update(4)\n"
        "assert 'rich' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, check=True)
