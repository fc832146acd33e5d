"""The Python that pages show, run as one program a page."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.documents import IN_PYTHON, blocks
from tests.support.repository import ENVIRONMENT, run_with

TESTS = "\nfor name, one in list(globals().items()):\n    if name.startswith('test_'): one()\n"


@pytest.mark.parametrize("name", IN_PYTHON)
def test_the_page_is_a_program_that_runs(name: str, tmp_path: Path) -> None:
    shown = [one for one in blocks(ROOT / "docs" / f"{name}.md") if one.mark == "run"]
    assert shown
    assert {one.language for one in shown} == {"python"}
    program = "\n".join(f"exec(compile({one.text!r}, {str(one)!r}, 'exec'))" for one in shown)
    shutil.copytree(ROOT / "metrics", tmp_path / "metrics")  # what a project has committed
    print(run_with(ENVIRONMENT, tmp_path, sys.executable, "-c", program + TESTS))
