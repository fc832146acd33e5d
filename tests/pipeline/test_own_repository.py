"""A project in a person's own repository: made, run, upgraded, with real git and DVC."""

import re
import shutil
from pathlib import Path

import pytest

from pixelproof import __version__
from pixelproof.operations.new_project import start_project
from pixelproof.params.behaviour import BEHAVIOUR, RECORD
from pixelproof.params.project import load_params
from tests.conftest import ROOT, write_data
from tests.support.own_project import make_quick, start_repository
from tests.support.repository import ENVIRONMENT, run, run_with
from tests.support.toys import ran

AFTER_ATTACK = {  # the stages that read what `attack` makes, and those that read what they make
    "evaluate@baseline",
    "evaluate@clean",
    "evaluate@hardened",
    "evaluate@pixels-4",
    "compare",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that `pixelproof init` has made, committed as it stands but quick."""
    root = start_repository(tmp_path_factory.mktemp("parts"))
    said = run(root, "pixelproof", "init")
    assert "140 images of 10 classes" in said
    assert said.endswith("Next: pixelproof run\n")
    make_quick(root)
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", "start")
    return root


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a newer version, whose stage `attack` computes something else."""
    source = tmp_path_factory.mktemp("newer") / "src"
    shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
    package, number = source / "pixelproof", BEHAVIOUR["attack"]
    edit(package / "params" / "behaviour.py", f'"attack": {number},', f'"attack": {number + 1},')
    edit(package / "stages" / "attack.py", "epsilon=attack.epsilon)", "epsilon=attack.epsilon + 9)")
    edit(package / "__init__.py", f'"{__version__}"', '"99.0"')
    return ENVIRONMENT | {"PYTHONPATH": str(source), "PIXELPROOF_TRACKING": "off"}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_it_runs_without_an_edit_of_the_pipeline(project: Path) -> None:
    params = load_params(project / "params.yaml")
    assert params.select.side == 32
    assert ran(run(project, "dvc", "repro", off=True)) == set(params.stages)
    page = (project / "reports" / "index.html").read_text()
    assert "kind-7" in page
    assert "hardened" in run(project, "pixelproof", "show")
    assert ran(run(project, "dvc", "repro", off=True)) == set()
    lines = run(project, "git", "status", "--porcelain", "-uall").splitlines()
    new = {line[3:].partition("/")[0] for line in lines}
    assert new == {".gitignore", "dvc.lock", "metrics", "plots"}, "all else is ignored"
    run(project, "git", "add", "-A")
    run(project, "git", "commit", "-qm", "run")


def test_an_upgrade_runs_again_what_it_changes_and_nothing_before(
    project: Path, newer: dict[str, str]
) -> None:
    record = (project / RECORD).read_bytes()
    said = run_with(newer, project, "pixelproof", "run", code=2)
    assert "`pixelproof upgrade --dry-run` says what an upgrade runs again" in said
    said = run_with(newer, project, "pixelproof", "stage", "attack", "baseline", code=2)
    assert "of attack" in said, "no result of the new code under the old number"

    said = run_with(newer, project, "pixelproof", "upgrade", "--dry-run")
    assert re.search(r"^Run again: attack@baseline \(behaviour of attack \d → \d\)$", said, re.M)
    (after,) = re.findall(r"^And then, where their input changes: (.+)$", said, re.M)
    assert set(after.split(", ")) == AFTER_ATTACK
    assert (project / RECORD).read_bytes() == record

    run_with(newer, project, "pixelproof", "upgrade")
    assert run(project, "git", "status", "--porcelain").split() == ["M", str(RECORD)]
    shown = run_with(newer, project, "pixelproof", "show")
    assert "other behaviour of pixelproof: attack" in shown
    assert ran(run_with(newer, project, "dvc", "repro")) == {"attack@baseline", *AFTER_ATTACK}
    assert "other behaviour" not in run_with(newer, project, "pixelproof", "show")

    said = run(project, "pixelproof", "run", code=2, off=True)
    assert "made by the newer pixelproof 99.0" in said


def test_what_a_repository_often_has_stays_as_it_is(tmp_path: Path) -> None:
    root = tmp_path / "My Parts"
    write_data(root / "data", count=3)
    run(root, "git", "init", "-q")
    for name in ("README.md", ".dvcignore"):
        (root / name).write_text("mine\n")
    (root / ".gitignore").write_text("/data\n")
    assert start_project(root).endswith(f"Next: cd '{root}' && pixelproof run")
    assert (root / "README.md").read_text() == "mine\n"
    assert (root / ".dvcignore").read_text() == "mine\n"
    assert (root / ".gitignore").read_text() == "/data\n"
    gate = load_params(root / "params.yaml").gate
    assert gate is not None
    assert gate.name == "my-parts"


def test_a_folder_within_a_repository_and_a_project_of_dvc_that_is_there(tmp_path: Path) -> None:
    inner = tmp_path / "parts"
    write_data(inner / "data", count=3)
    run(tmp_path, "git", "init", "-q")
    run(inner, "pixelproof", "init")
    assert (inner / ".dvc" / "config").is_file()
    assert "select" in run(inner, "dvc", "stage", "list")

    other = tmp_path / "other"
    write_data(other / "data", count=3)
    run(other, "git", "init", "-q")
    run(other, "dvc", "init", "-q")
    run(other, "dvc", "add", "-q", "data")
    pointer = (other / "data.dvc").read_bytes()
    run(tmp_path, "pixelproof", "init", "other")
    assert (other / "data.dvc").read_bytes() == pointer
    assert "baseline@baseline" in run(other, "dvc", "stage", "list")
