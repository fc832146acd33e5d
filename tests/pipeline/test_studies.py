"""Several studies in one folder: each is about its own models, and none costs another its work."""

import shutil
from pathlib import Path

import pytest

from tests.support.repository import run
from tests.support.toys import Toys, ran


@pytest.fixture(scope="module")
def repository(toys: Toys, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy study and another, of an original and an arm with other names; the toy has run."""
    root = toys.committed(tmp_path_factory.mktemp("studies"))
    (root / "profiles").mkdir()
    text = (root / "params.yaml").read_text()
    (root / "profiles" / "toy.yaml").write_text(text)
    other = text.replace("stuck-8", "stuck-9").replace("[baseline]", "[first]")
    for key in ("baseline: ", "origin: "):
        other = other.replace(f"{key}baseline", f"{key}first")
    for rest in (":\n", ": {origin"):
        other = other.replace(f"\n  baseline{rest}", f"\n  first{rest}")
    (root / "profiles" / "other.yaml").write_text(other)
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", "profiles")
    return root


def repro(root: Path) -> set[str]:
    return ran(run(root, "dvc", "repro", off=True))


def test_the_way_to_another_study_and_back_trains_nothing_twice(repository: Path) -> None:
    before = {
        name: (repository / name).read_bytes() for name in ("dvc.lock", "metrics/results.csv")
    }
    run(repository, "pixelproof", "profile", "use", "other")
    assert {"baseline@first", "finetune@stuck-9", "evaluate@clean"} <= repro(repository)
    assert {path.name for path in (repository / "artifacts/models").iterdir()} == {
        "first",
        "clean",
        "stuck-9",
    }
    run(repository, "pixelproof", "profile", "use", "toy")
    assert repro(repository) == {"compare"}
    for name, content in before.items():
        assert (repository / name).read_bytes() == content, name
    assert repro(repository) == set()


def test_what_another_study_left_is_no_input(repository: Path) -> None:
    folder = repository / "artifacts" / "adversarial"
    shutil.copytree(folder / "baseline", folder / "stranger")
    assert repro(repository) == set()


def test_an_added_and_a_removed_arm_take_a_repro_alone(repository: Path) -> None:
    path, text = repository / "params.yaml", (repository / "params.yaml").read_text()
    lock = (repository / "dvc.lock").read_bytes()
    added = text.replace(
        "    stuck-8: {", "    full-8: {baseline: baseline, n: 8, values: full}\n    stuck-8: {"
    )
    added = added.replace("  stuck-8: {origin", "  full-8: {origin: baseline}\n  stuck-8: {origin")
    path.write_text(added)
    assert repro(repository) == {"generate", "finetune@full-8", "evaluate@full-8", "compare"}
    path.write_text(text)
    assert repro(repository) <= {"generate", "compare"}
    assert not (repository / "artifacts/models/full-8").exists()
    run(repository, "pixelproof", "profile", "use", "toy")
    assert (repository / "dvc.lock").read_bytes() == lock
