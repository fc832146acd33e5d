"""What a team does with DVC: share through a remote, compare, try a parameter."""

import json
from pathlib import Path

import pytest

from tests.support.repository import run
from tests.support.toys import Toys


@pytest.fixture(scope="module")
def shared(toys: Toys, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy project that has run, and was pushed to a remote in a folder."""
    root = toys.committed(tmp_path_factory.mktemp("shared"))
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(f"# what we try\n{text}  # how sure\n")
    run(root, "dvc", "remote", "add", "-q", "-d", "team", str(root.with_name("remote")))
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", "comments and a remote")
    assert "files pushed" in run(root, "dvc", "push")
    return root


@pytest.fixture(scope="module")
def clone(shared: Path) -> Path:
    other = shared.with_name("clone")
    run(shared, "git", "clone", "-q", str(shared), str(other))
    run(other, "pixelproof", "data")
    return other


def contents(root: Path) -> dict[str, bytes]:
    found = [*(root / "data").rglob("*"), *(root / "artifacts").rglob("*")]
    skipped = {"spool", "checkpoints"}
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in found
        if path.is_file() and not skipped & set(path.parts)
    }


def test_the_images_come_from_the_remote(shared: Path, clone: Path) -> None:
    data = {name: one for name, one in contents(shared).items() if name.startswith("data")}
    assert contents(clone) == data


def test_what_was_generated_comes_from_the_remote_and_nothing_runs(
    shared: Path, clone: Path
) -> None:
    run(clone, "dvc", "pull", "-q")
    assert contents(clone) == contents(shared)
    assert "artifacts/changes/test/manifest.json" in contents(clone)
    assert "Running stage" not in run(clone, "dvc", "repro", off=True)
    assert run(clone, "git", "status", "--porcelain", "--untracked-files=no") == ""


def test_figures_and_plots_are_compared_between_revisions(clone: Path) -> None:
    text = (clone / "params.yaml").read_text()
    (clone / "params.yaml").write_text(text.replace("n: 64}\n  res", "n: 8}\n  res"))
    run(clone, "dvc", "repro", "-q", off=True)
    found = json.loads(run(clone, "dvc", "metrics", "diff", "--json"))["metrics/summary.json"]
    assert found["reference.n"] == {"old": 64, "new": 8, "diff": -56}
    for command in (("show",), ("diff", "HEAD")):
        said = run(clone, "dvc", "plots", *command).strip().splitlines()[-1]
        page = Path(said.removeprefix("file://")).read_text()
        assert "plots/curves/stuck-8.csv" in page
        assert '"changed pixels"' in page  # the project's own template
    assert "dvc_plots" not in run(clone, "git", "status", "--porcelain")
    (clone / "params.yaml").write_text(text)
    run(clone, "dvc", "repro", "-q", off=True)


def test_a_parameter_is_tried_as_an_experiment(clone: Path) -> None:
    run(clone, "dvc", "exp", "run", "-q", "-n", "fewer", "-S", "compare.resamples=400", off=True)
    text = (clone / "params.yaml").read_text()
    assert "resamples: 400" in text
    assert text.startswith("# what we try\n")
    assert "# how sure" in text
    assert "fewer" in run(clone, "dvc", "exp", "show", "--csv")
