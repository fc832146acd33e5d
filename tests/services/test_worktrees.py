"""The worktree of scheduled runs, with real git and real DVC."""

import subprocess
import sys
from pathlib import Path

import pytest

from pixelproof.errors import DataError, ParameterError, PipelineError
from pixelproof.operations.worktrees import (
    bring_data,
    commit_results,
    idle,
    set_parameters,
    worktree,
)
from pixelproof.tracking import store
from tests.conftest import write_data
from tests.support.repository import ENVIRONMENT, run
from tests.support.toys import Toys


@pytest.fixture
def root(toys: Toys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for key in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(key, ENVIRONMENT[key])
    return toys.fresh(tmp_path)


def git(root: Path, *arguments: str) -> str:
    return run(root, "git", *arguments).strip()


def test_a_person_s_files_stay_as_they_are(root: Path) -> None:
    (root / "params.yaml").write_text("mine: 1\n")
    (root / "dvc.lock").write_text("schema: '2.0'\n")
    with worktree(root, "HEAD", "harden") as folder:
        assert folder != root
        params = set_parameters(folder, None, {"finetune.epochs": 7})
        assert params.finetune.epochs == 7
        bring_data(folder, params, None)
        assert len(list((folder / "data").rglob("*.png"))) == 80
    assert (root / "params.yaml").read_text() == "mine: 1\n"
    assert (root / "dvc.lock").read_text() == "schema: '2.0'\n"
    assert ".pixelproof" not in git(root, "status", "--porcelain")
    cache = run(folder, "dvc", "cache", "dir").strip()
    assert Path(folder, cache).resolve() == (root / ".dvc" / "cache").resolve()


def test_the_next_run_starts_from_the_revision_and_keeps_what_was_made(root: Path) -> None:
    with worktree(root, "HEAD", "harden") as folder:
        set_parameters(folder, None, {"finetune.epochs": 7})
        (folder / "artifacts").mkdir()
        (folder / "artifacts" / "made").touch()
        (folder / "dvc.lock").write_text("schema: '2.0'\n")
    (root / "note.txt").write_text("new")
    git(root, "add", "note.txt")
    git(root, "commit", "-qm", "more")
    index = git(folder, "rev-parse", "--absolute-git-dir")
    Path(index, "index.lock").touch()  # as a git that was killed leaves it
    with worktree(root, "HEAD", "harden") as again:
        assert again == folder
        assert set_parameters(folder, None, {}).finetune.epochs == 2
        assert (folder / "note.txt").is_file()
        assert (folder / "artifacts" / "made").is_file()
        assert (folder / "dvc.lock").read_text() == "schema: '2.0'\n"


def test_hooks_and_relative_remotes_of_a_person(root: Path) -> None:
    hook = root / ".git" / "hooks" / "post-checkout"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    run(root, "dvc", "remote", "add", "--local", "-d", "team", "../team")
    expected = (root / ".." / "team").resolve()
    for _ in range(2):
        with worktree(root, "HEAD", "harden") as folder:
            found = run(folder, "dvc", "remote", "list").split()
    assert found[:2] == ["team", str(expected)]


def test_one_run_at_a_time(root: Path) -> None:
    code = (
        "from pathlib import Path; from pixelproof.operations.worktrees import worktree\n"
        "with worktree(Path(), 'HEAD', 'harden'): pass"
    )
    with worktree(root, "HEAD", "harden"):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
        )
    assert "another run works here" in done.stderr


def test_a_revision_that_is_none(root: Path) -> None:
    with pytest.raises(ParameterError, match="revision: expected one that git knows, got 'nowhere"):  # noqa: SIM117
        with worktree(root, "nowhere", "harden"):
            pass


def test_announced_data_is_taken_from_the_shared_cache(root: Path) -> None:
    committed = (root / "data.dvc").read_text()
    write_data(root / "more", count=10)
    for path in (root / "more").rglob("*.png"):
        path.rename(root / "data" / path.parent.name / f"more-{path.name}")
    run(root, "dvc", "add", "-q", "data")
    announced = (root / "data.dvc").read_text()
    git(root, "checkout", "-q", "data.dvc")
    with worktree(root, "HEAD", "harden") as folder:
        params = set_parameters(folder, None, {})
        bring_data(folder, params, announced)
        assert len(list((folder / "data").rglob("*.png"))) == 100
        assert (folder / "data.dvc").read_text() == announced
    with worktree(root, "HEAD", "harden") as folder:
        bring_data(folder, params, None)
        assert (folder / "data.dvc").read_text() == committed
        assert len(list((folder / "data").rglob("*.png"))) == 80


@pytest.mark.parametrize(
    "text",
    [
        "",
        "outs: [{path: ../x, md5: a}]",
        "outs: [{path: data}]",
        "{outs: [{path: data, md5: a.dir}], wdir: src}",
        "!!python/object:os.system x",
        "[",
    ],
)
def test_an_announcement_that_is_no_pointer(root: Path, text: str) -> None:
    with worktree(root, "HEAD", "harden") as folder:
        params = set_parameters(folder, None, {})
        with pytest.raises(DataError, match=r"expected the text of data\.dvc"):
            bring_data(folder, params, text)


@pytest.mark.parametrize(
    ("profile", "overrides", "words"),
    [
        ("none", {}, r"profile: expected one of \[\] or a file, got 'none'"),
        (None, {"fintune.epochs": 3}, "overrides: fintune.epochs: no section fintune"),
        (None, {"finetune.epoch": 3}, "finetune.epoch: unknown key; did you mean 'epochs'"),
        (None, {"finetune.epochs": "3"}, "finetune.epochs: expected int"),
    ],
)
def test_parameters_that_are_none(
    root: Path, profile: str | None, overrides: dict[str, object], words: str
) -> None:
    with worktree(root, "HEAD", "harden") as folder, pytest.raises(ParameterError, match=words):
        set_parameters(folder, profile, overrides)


def test_pruning_waits_for_no_run_and_keeps_what_the_worktree_needs(root: Path) -> None:
    with worktree(root, "HEAD", "harden") as folder:
        bring_data(folder, set_parameters(folder, None, {}), None)
        with pytest.raises(PipelineError, match="a run works here"), idle(root):
            pass
    with idle(root) as found:
        assert found == [folder]


class TestBranch:
    def test_results_stand_on_a_branch_and_nothing_new_makes_no_commit(self, root: Path) -> None:
        with worktree(root, "HEAD", "harden") as folder:
            set_parameters(folder, None, {"finetune.epochs": 7})
            (folder / "dvc.lock").write_text("schema: '2.0'\n")
            first = commit_results(folder, "results", "one")
            assert commit_results(folder, "results", "two") == first
            (folder / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
            second = commit_results(folder, "results", "three")
            assert not git(folder, "diff", "--cached"), "the worktree's own index is untouched"
        assert git(root, "rev-parse", "results") == second
        assert git(root, "rev-parse", "results~1") == first
        assert git(root, "rev-parse", "results~2") == git(root, "rev-parse", "HEAD")
        changed = git(root, "diff", "--name-only", "HEAD", "results").split()
        assert changed == ["dvc.lock", "params.yaml"]

    def test_a_branch_that_a_person_works_on(self, root: Path) -> None:
        branch = git(root, "branch", "--show-current")
        with worktree(root, "HEAD", "harden") as folder:
            with pytest.raises(ParameterError, match="is checked out; name another"):
                commit_results(folder, branch, "no")
            with pytest.raises(ParameterError, match="a name that git takes, got 'a b'"):
                commit_results(folder, "a b", "no")

    def test_the_branch_keeps_up_with_the_revision(self, root: Path) -> None:
        with worktree(root, "HEAD", "harden") as folder:
            (folder / "dvc.lock").write_text("schema: '2.0'\n")
            first = commit_results(folder, "results", "one")
        (root / "note.txt").write_text("new")
        git(root, "add", "note.txt")
        git(root, "commit", "-qm", "more")
        with worktree(root, "HEAD", "harden") as folder:
            second = commit_results(folder, "results", "two")
        parents = git(root, "log", "-1", "--format=%P", second).split()
        assert parents == [first, git(root, "rev-parse", "HEAD")]
        assert git(root, "show", f"{second}:note.txt") == "new"


@pytest.mark.parametrize("uri", ["", "sqlite:///mlruns/mlflow.db", "mlruns"])
def test_a_run_elsewhere_needs_an_absolute_address(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(ParameterError, match="MLFLOW_TRACKING_URI: expected an absolute address"):
        store.require_absolute()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////srv/mlflow.db")
    store.require_absolute()


def test_git_that_refuses_is_told(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="git rev-parse"), worktree(tmp_path, "HEAD", "x"):
        pass
