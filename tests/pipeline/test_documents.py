"""The commands that the documents show, run as they stand there in a toy project."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT, write_data
from tests.support.documents import IN_PYTHON, Block, blocks, small
from tests.support.repository import ENVIRONMENT, make_repository

IN_ORDER = ("quick-start", "team", "operations")  # each goes on where the one before has stopped
SHOWN = [one for name in IN_ORDER for one in blocks(ROOT / "docs" / f"{name}.md")]
TO_RUN = [block for block in SHOWN if block.mark == "run"]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy with the demo's classes and one arm, that asks little of each model."""
    root = make_repository(tmp_path_factory.mktemp("documents"))
    write_data(root.with_name("pictures"), ("ok", "scratch"), 20)
    params = root / "params.yaml"
    content = small(YAML(typ="safe").load(params.read_text()))
    content["baselines"]["baseline"]["classes"] = ["ok", "scratch"]
    YAML(typ="safe").dump(content, params)
    return root


def test_pages_with_commands_to_run_are_run() -> None:
    pages = (ROOT / "docs").glob("*.md")
    assert {*IN_ORDER, *IN_PYTHON} == {
        page.stem for page in pages if any(block.mark == "run" for block in blocks(page))
    }


@pytest.mark.parametrize("block", TO_RUN, ids=str)
def test_the_commands_do_what_the_page_says(repository: Path, block: Block) -> None:
    text = block.text.replace("PICTURES", str(repository.with_name("pictures")))
    program = {"console": ["bash", "-euo", "pipefail"], "python": [sys.executable]}
    done = subprocess.run(
        [*program[block.language], "-c", text],
        cwd=repository,
        env=ENVIRONMENT | {"PIXELPROOF_TRACKING": "off"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    if "pixelproof show" in text:
        assert re.search(r"^.*hardened.*\d", done.stdout, re.MULTILINE)
    if "pixelproof export" in text:
        assert len(list((repository / "changed").rglob("*.png"))) > 20
    if "exp show" in text:
        assert "finetune.epochs" in done.stdout
