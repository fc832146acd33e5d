"""What a project is called on a Prefect server that it may share."""

from pathlib import Path

import pytest

from pixelproof.errors import ParameterError
from pixelproof.system.projects import project_name, read_project
from tests.conftest import ROOT
from tests.support.repository import run


def clone(root: Path, origin: str = "", text: str = "name: pixelproof\n") -> Path:
    """A folder with git, and with an origin."""
    root.mkdir(parents=True)
    (root / "prefect.yaml").write_text(text)
    run(root, "git", "init", "-q")
    if origin:
        run(root, "git", "remote", "add", "origin", origin)
    return root


def test_the_clones_of_a_team_share_a_name_however_they_reach_the_origin(tmp_path: Path) -> None:
    origins = [
        "https://git.example.org/team/solder.git",
        "https://user:token@git.example.org/team/solder",
        "ssh://git@git.example.org:2222/team/solder.git",
        "git@git.example.org:team/solder.git",
        "GIT.example.org:/team/solder/",
    ]
    names = {project_name(clone(tmp_path / str(at), one)) for at, one in enumerate(origins)}
    assert len(names) == 1
    (name,) = names
    assert name.startswith("pixelproof-")
    assert "token" not in name
    assert project_name(clone(tmp_path / "b", "git@git.example.org:team/wafers.git")) not in names
    assert project_name(clone(tmp_path / "c", origins[0], "name: solder joints\n")).startswith(
        "solder-joints-"
    )


def test_folders_without_an_address_are_projects_of_their_own(tmp_path: Path) -> None:
    origins = ["", "", "/srv/git/solder.git", "/srv/git/solder.git", "../solder", "file:///srv/git"]
    roots = [clone(tmp_path / str(at), one) for at, one in enumerate(origins)]
    assert len({project_name(root) for root in roots}) == len(roots)
    assert project_name(roots[0]) == project_name(roots[0])
    (tmp_path / "plain").mkdir()
    assert project_name(tmp_path / "plain").startswith("pixelproof-")


def test_several_projects_of_one_repository_differ(tmp_path: Path) -> None:
    root = clone(tmp_path / "all", "git@git.example.org:team/all.git")
    for name in ("left", "right"):
        (root / name).mkdir()
    assert len({project_name(root / name) for name in ("", "left", "right")}) == 3


def test_a_worktree_is_the_same_project(tmp_path: Path) -> None:
    root = clone(tmp_path / "one", "git@git.example.org:team/one.git")
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", "one")
    run(root, "git", "worktree", "add", "-q", str(tmp_path / "tree"))
    assert project_name(root) == project_name(tmp_path / "tree")


def test_prefect_yaml_may_name_a_pool_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "prefect.yaml").read_text()
    root = clone(tmp_path / "one", "git@git.example.org:team/one.git", text)
    monkeypatch.chdir(root)
    found = read_project()
    assert found.pool == found.name
    assert found.deployments == [
        f"{one}-{found.name}" for one in ("harden-nightly", "harden-on-new-data", "monitor-weekly")
    ]
    assert text.count('  name: "{{ PIXELPROOF_NAME }}"') == 1
    (root / "prefect.yaml").write_text(
        text.replace('  name: "{{ PIXELPROOF_NAME }}"', "  name: cells")
    )
    assert read_project().pool == "cells"
    (root / "prefect.yaml").write_text(
        text.replace("work_pool: *work_pool", "work_pool: {name: other}", 1)
    )
    with pytest.raises(ParameterError, match="expected one work pool"):
        read_project()
    (root / "prefect.yaml").unlink()
    with pytest.raises(ParameterError, match="expected the folder that holds"):
        read_project()
