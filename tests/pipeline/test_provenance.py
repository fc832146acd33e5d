"""What a result belongs to, told in clones of a toy project that has run and was committed."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from pixelproof.reporting.provenance import changed_params, lock_differences, stages_behind
from tests.conftest import write_data
from tests.support.repository import run
from tests.support.toys import STAGES, Toys, ran

NOT = "It is NOT the result of what lies here now"


@pytest.fixture(scope="module")
def origin(toys: Toys, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a committed result, and a commit after it."""
    root = toys.committed(tmp_path_factory.mktemp("provenance") / "origin")
    (root / "NOTES").write_text("a later commit")
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", "notes")
    return root


def clone(origin: Path, name: str) -> Path:
    other = origin.with_name(name)
    run(origin, "git", "clone", "-q", str(origin), str(other))
    return other


def show(root: Path) -> str:
    return run(root, "pixelproof", "show", off=True)


def edit(root: Path, old: str, new: str) -> None:
    text = (root / "params.yaml").read_text()
    assert text.count(old) == 1
    (root / "params.yaml").write_text(text.replace(old, new))


def test_where_it_ran_the_report_and_a_model_are_named(origin: Path) -> None:
    commit = run(origin, "git", "log", "-1", "--format=%h of %cs", "HEAD~1").strip()
    said = show(origin)
    assert "of data (bad, good; 80 images, DVC " in said
    assert f"commit {commit}." in said, "the commit of the figures, not the newest one"
    assert NOT not in said
    assert "reports/index.html" in said
    assert "predict artifacts/models/stuck-8" in said
    name = said.split("Result ")[1].split()[0]
    assert name in (origin / "reports" / "index.html").read_text()
    assert name in (origin / "reports" / "summary.md").read_text()


def test_in_a_fresh_clone_nothing_is_named_that_is_not_there(origin: Path) -> None:
    said = show(clone(origin, "fresh"))
    assert "of data (bad, good; 80 images, DVC " in said
    assert ", not committed" not in said
    assert NOT not in said
    assert "reports/index.html" not in said
    assert "predict" not in said
    assert "the report is not here" in said
    assert "Its models are not here" in said


def test_after_a_failed_run_on_other_images(origin: Path) -> None:
    root = clone(origin, "failed")
    write_data(root / "data", ("one", "two", "three"), count=20)
    run(root, "dvc", "add", "-q", "data")
    said = show(root)
    assert NOT in said
    assert "other images: data.dvc names " in said
    assert "of data (bad, good; 80 images" in said

    edit(root, "weights: none", "weights: missing.pt")
    run(root, "dvc", "repro", "-q", code=255, off=True)
    said = show(root)
    assert "other images: those read here are 60 of 3 classes" in said
    assert "other parameters: baselines.baseline.weights none, now missing.pt" in said
    assert "not run since what they need was made anew: baseline@baseline" in said
    assert "of data (bad, good; 80 images);" in said, "no hash of images that are not the result's"
    assert "reports/index.html" not in said
    assert "predict" not in said


def test_without_git(origin: Path) -> None:
    root = origin.with_name("archive")
    root.mkdir()
    archive = origin.with_name("archive.tar")
    run(origin, "git", "archive", "-o", str(archive), "HEAD")
    run(root, "tar", "xf", str(archive))
    said = show(root)
    assert "commit unknown (no git here)" in said
    assert "of data (bad, good; 80 images, DVC " in said
    assert NOT not in said


def test_a_clone_that_runs_ends_with_the_committed_lock(origin: Path) -> None:
    root = clone(origin, "again")
    write_data(root / "data")
    assert ran(run(root, "dvc", "repro", off=True)) == STAGES
    assert run(root, "git", "status", "--porcelain") == ""
    pages = [(one / "reports" / "index.html").read_bytes() for one in (origin, root)]
    assert pages[0] == pages[1]


def test_a_change_and_the_way_back(origin: Path) -> None:
    first = show(origin)
    edit(origin, "n: 64}\n  res", "n: 8}\n  res")
    assert "other parameters: compare.reference.n 64, now 8" in show(origin)
    run(origin, "dvc", "repro", "-q", off=True)
    said = show(origin)
    assert NOT not in said
    assert "not committed yet (on " in said
    edit(origin, "n: 8}\n  res", "n: 64}\n  res")
    run(origin, "dvc", "repro", "-q", off=True)
    assert show(origin) == first

    page = origin / "reports" / "index.html"
    shutil.copy(page, origin / "kept.html")
    page.write_text("of another result")
    assert "(the report is of another result: `dvc repro`)" in show(origin)
    shutil.move(origin / "kept.html", page)


LOCK: dict[str, Any] = {
    "select": {
        "deps": [{"path": "data", "md5": "a" * 32}],
        "params": {"params.yaml": {"select": {"data": "data", "side": 16}}},
        "outs": [{"path": "artifacts/images", "md5": "1"}],
    },
    "finetune@old": {"params": {"params.yaml": {"finetune.arms.old": {"n": 1}}}},
    "compare": {"deps": [{"path": "artifacts/images", "md5": "1"}]},
}
PARAMS = {"select": {"data": "data", "side": 16}, "models": ["base"]}


def test_what_is_compared_with_a_lock() -> None:
    assert list(lock_differences(LOCK, PARAMS, "a" * 32)) == []
    assert changed_params(LOCK, {**PARAMS, "select": {"data": "data", "side": 32, "new": 1}}) == [
        "select.side 16, now 32",
        "select.new None, now 1",
    ]
    behind = {**LOCK, "compare": {"deps": [{"path": "artifacts/images", "md5": "2"}]}}
    assert stages_behind(behind, PARAMS) == ["compare"]
    [words] = lock_differences(LOCK, PARAMS, "b" * 32)
    assert words == "other images: data.dvc names bbbbbbbb, the stages last ran on aaaaaaaa"
