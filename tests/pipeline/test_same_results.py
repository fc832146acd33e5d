"""Edits that change no result are taken over; those that change one are refused."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.repository import run
from tests.support.toys import Toys

ACCEPT = ("python", "tools/same_results.py", "--accept")


@pytest.fixture(scope="module")
def clone(toys: Toys, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with code of its own, whose toy experiment has run."""
    root = toys.committed(tmp_path_factory.mktemp("clone"))
    (root / "src").unlink()
    for name in ("src", "tools"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "tests").mkdir()
    for name in ("toy.yaml", "tiny_network.py"):
        shutil.copy(ROOT / "tests" / "support" / name, root / "tests")
    assert "up to date" in run(root, "dvc", "status"), "the code is the same, and so are its hashes"
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-q", "--amend", "-m", "run")  # the code that wrote dvc.lock
    return root


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_edited_words_are_taken_over_and_edited_results_refused(clone: Path) -> None:
    training = next((clone / "src").rglob("training.py"))
    _edit(training, '"""', '"""Words. ')
    assert "finetune@clean" in run(clone, "dvc", "status")
    assert "35 results are the same" in run(clone, *ACCEPT)
    assert "up to date" in run(clone, "dvc", "status")

    run(clone, "git", "commit", "-qam", "words")
    accepted = (clone / "dvc.lock").read_bytes()
    _edit(training, "WEIGHT_DECAY = 1e-4", "WEIGHT_DECAY = 1e-1")
    said = run(clone, *ACCEPT, code=1)
    differing = said.partition("not the same: ")[2]
    assert "artifacts/models/clean/model.safetensors" in differing
    assert (clone / "dvc.lock").read_bytes() == accepted

    _edit(training, "WEIGHT_DECAY = 1e-1", "WEIGHT_DECAY = 1e-4")
    verdict = clone / "src" / "pixelproof" / "reporting" / "verdict.py"
    _edit(verdict, "itself fool it no more often", "itself fool it not more often")
    said = run(clone, *ACCEPT, code=1)
    assert "not the same: reports/index.html" in said, "the report is a result, too"
    assert (clone / "dvc.lock").read_bytes() == accepted
    _edit(verdict, "itself fool it not more often", "itself fool it no more often")

    _edit(clone / "params.yaml", "learning_rate: 0.05", "learning_rate: 0.04")
    said = run(clone, *ACCEPT, code=1)
    assert "not the code alone has changed, run `dvc repro`: baseline@baseline" in said
    assert (clone / "dvc.lock").read_bytes() == accepted
