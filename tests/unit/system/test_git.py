import subprocess
from pathlib import Path

import pytest

from pixelproof.errors import PipelineError
from pixelproof.system import git


def run(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=me", "-c", "user.email=me@example.org")
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


def test_a_repository_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(tmp_path, "init")
    assert git.head() == "", "there is no commit yet"
    assert git.committed(Path("params.yaml")) is None
    (tmp_path / "params.yaml").write_bytes(b"a: 1\r\n")
    (tmp_path / "notes").touch()
    run(tmp_path, "add", "params.yaml")
    run(tmp_path, "commit", "-m", "one")
    assert len(git.head()) == 40
    assert git.committed(Path("params.yaml")) == b"a: 1\r\n", "to the byte"
    assert not git.sources_changed(), "notes are no source"
    (tmp_path / "params.yaml").write_text("a: 2\n")
    assert git.sources_changed()
    assert git.run(tmp_path, "rev-parse", "HEAD") == git.head()


def test_without_a_repository_or_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git.head() == ""
    with pytest.raises(PipelineError, match="git rev-parse in .*: .*not a git repository"):
        git.run(tmp_path, "rev-parse", "HEAD")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git.head() == ""
    assert git.committed(Path("params.yaml")) is None
