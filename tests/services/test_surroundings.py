"""What a command needs around the project, and that no error ends in a traceback."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from pixelproof.cli.main import main
from tests.conftest import ROOT
from tests.support.repository import ENVIRONMENT, run, run_with
from tests.support.toys import Toys


@pytest.fixture
def archive(toys: Toys, tmp_path: Path) -> Path:
    """A project without git, as out of a downloaded archive."""
    root = toys.fresh(tmp_path / "archive")
    shutil.rmtree(root / ".git")
    return root


@pytest.mark.parametrize("command", ["run", "data", "repair", "prune --keep 3", "announce-data"])
def test_without_git_the_remedy_is_named_and_works(archive: Path, command: str) -> None:
    words = ["pixelproof", *command.split()]
    said = run(archive, *words, code=2)
    assert f"{archive}: expected a git repository, which DVC needs, got none" in said
    if command in ("data", "repair"):
        for advice in re.findall(r"`([^`]+)`", said):
            run(archive, *shlex.split(advice))
        run(archive, *words)


@pytest.mark.parametrize(
    "command", [["pixelproof", "serve"], ["python", str(ROOT / "flows" / "harden.py")]]
)
def test_a_home_that_cannot_be_written_is_named(
    toys: Toys, tmp_path: Path, command: list[str]
) -> None:
    root = toys.fresh(tmp_path / "project")
    kept = {key: one for key, one in ENVIRONMENT.items() if not key.startswith("PREFECT")}
    said = run_with(kept | {"HOME": "/proc/nobody"}, root, *command, code=3)
    (line,) = [one for one in said.splitlines() if one.startswith("pixelproof: ")]
    assert "/proc/nobody/.prefect/prefect.db: cannot be written" in line
    assert 'export PREFECT_HOME="$PWD/.pixelproof/prefect"' in line


def test_a_link_to_itself_in_the_images_is_one_line(project: Path) -> None:
    (project / "data" / "bad" / "loop.png").symlink_to("loop.png")
    said = run(project, "pixelproof", "stage", "select", code=3, off=True)
    assert said == "pixelproof: data/bad/loop.png: a link to itself; delete it\n"


@pytest.mark.parametrize("name", ["mlruns/mlflow.db", "artifacts/spool/session"])
def test_garbage_where_a_file_of_ours_lies_is_one_line(
    toys: Toys, tmp_path: Path, name: str
) -> None:
    root = toys.fresh(tmp_path / "project")
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(range(256)) * 20)
    if name == "artifacts/spool/session":
        run(root, "pixelproof", "stage", "select")
        return
    said = run(root, "pixelproof", "stage", "select", code=4)
    (line,) = said.splitlines()
    assert f"{path}: expected MLflow's database, got another file; move it away" in line
    path.unlink()
    run(root, "pixelproof", "stage", "select")


def test_what_nobody_has_thought_of_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def fail() -> str:
        raise ZeroDivisionError("first\nsecond")

    monkeypatch.setattr("pixelproof.params.profiles.list_profiles", fail)
    assert main(["profile", "list"]) == 1
    words = "pixelproof: ZeroDivisionError: first; `pixelproof --debug …` shows where\n"
    assert capsys.readouterr().err == words
    assert main(["--debug", "profile", "list"]) == 1
    assert "Traceback" in capsys.readouterr().err
