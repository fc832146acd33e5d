"""The worked examples of CONTRIBUTING.md, followed literally in a copy of the project."""

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT, write_data
from tests.support.documents import Block, blocks, small
from tests.support.repository import ENVIRONMENT, run, run_with

MARK = "example: "
BLOCKS = [one for one in blocks(ROOT / "CONTRIBUTING.md") if one.mark.startswith(MARK)]
EXAMPLES = ("attack", "experiment", "stage", "architecture")
MAKE = 'make() { command make -o .venv/ready "$@"; }\n'  # the environment is set up


def parts(wanted: str) -> list[Block]:
    """The blocks of all examples whose mark says that they are this: a file, or `run`."""
    return [one for one in BLOCKS if target(one) == wanted]


def target(block: Block) -> str:
    """What a block is: the file that it shows or changes, `append to FILES` or `run`."""
    return block.mark.removeprefix(MARK).partition(": ")[2]


def copy_project(root: Path) -> None:
    """Copy what git knows of the project."""
    listed = run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # and not deleted since
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)


def apply(block: Block, root: Path) -> None:
    """Do with the files of the copy what a block shows."""
    where = target(block)
    if block.language == "diff":
        patch(root / where, block.text)
    elif where.startswith("append to "):
        for pattern in [*where.removeprefix("append to ").split(), "tests/support/toy.yaml"]:
            for path in root.glob(pattern):
                path.write_text(path.read_text() + block.text)
    elif where not in ("run", "params.yaml"):
        assert not (root / where).exists(), where
        (root / where).write_text(block.text)


def patch(path: Path, text: str) -> None:
    """Put the lines with `+` where those with ` ` and `-` stand, which they do once."""
    lines = text.splitlines()
    before = "\n".join(line[1:] for line in lines if not line.startswith("+"))
    after = "\n".join(line[1:] for line in lines if not line.startswith("-"))
    content = f"\n{path.read_text()}"
    assert content.count(f"\n{before}\n") == 1, f"{path}: expected once:\n{before}"
    path.write_text(content.replace(f"\n{before}\n", f"\n{after}\n")[1:])


def use_toy(root: Path) -> None:
    """Toy images and a small experiment, with what the examples write into params.yaml."""
    params = small(YAML(typ="safe").load((root / "tests" / "support" / "toy.yaml").read_text()))
    for block in parts("params.yaml"):
        for section, keys in YAML(typ="safe").load(block.text).items():
            params[section] |= keys
    YAML(typ="safe").dump(params, root / "params.yaml")
    shutil.copy(root / "tests" / "support" / "tiny_network.py", root)
    write_data(root / "data")
    run(root, "git", "init", "-q")
    run(root, "dvc", "add", "-q", "data")
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", "toy")


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which all examples have been followed, commands aside."""
    root = tmp_path_factory.mktemp("changed")
    copy_project(root)
    for block in BLOCKS:
        apply(block, root)
    return root


@pytest.fixture(scope="module")
def finished(changed: Path) -> Path:
    """Beside it, a copy for toy images, in which the commands have been run, too."""
    root = changed.with_name("finished")
    shutil.copytree(changed, root)
    use_toy(root)
    for block in parts("run"):
        run_with(environment(root), root, "bash", "-euc", MAKE + block.text)
    return root


def environment(root: Path) -> dict[str, str]:
    """That of commands which run the code of a copy."""
    return ENVIRONMENT | {"PIXELPROOF_TRACKING": "off", "PYTHONPATH": str(root / "src")}


def test_each_block_belongs_to_an_example() -> None:
    assert {one.mark.removeprefix(MARK).partition(":")[0] for one in BLOCKS} == set(EXAMPLES)


def test_a_patch_that_does_not_fit_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a\nb\na\n")
    for text in (" a\n+c\n", " d\n+c\n"):
        with pytest.raises(AssertionError):
            patch(tmp_path / "file", text)
    patch(tmp_path / "file", " b\n-a\n+c\n")
    assert (tmp_path / "file").read_text() == "a\nb\nc\n"


def test_the_code_is_in_the_style_of_the_project(changed: Path) -> None:
    for command in (("check",), ("format", "--check")):
        run(changed, "ruff", *command, "-q", "--no-cache", "src", "tests/unit")


def test_the_contracts_of_the_project_hold(changed: Path) -> None:
    run_with(environment(changed), changed, "bash", "-euc", f"{MAKE}make deps")
    added = {target(one) for one in BLOCKS if target(one).startswith("tests/")}
    tests = ("tests/unit/test_contracts.py", *sorted(added))
    command = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *tests)
    run_with(environment(changed), changed, *command)


def test_the_attack_and_the_experiment_are_measured_and_shown(finished: Path) -> None:
    results = pd.read_csv(finished / "metrics" / "results.csv")
    for name, rows in (("noise", 1), ("dead_rows", 2)):
        measured = results[results["experiment"] == name]
        assert list(measured["model"].value_counts()) == [rows, rows]  # of both models
        assert measured["error_rate"].notna().all()
    page = (finished / "reports" / "index.html").read_text()
    assert "noise, 10 queries" in page
    assert "Dead rows" in page


def test_the_stage_depends_on_its_own_code(finished: Path) -> None:
    measured = json.loads((finished / "metrics" / "saturation.json").read_text())
    assert set(measured) == {"bad", "good"}
    assert all(0 <= share <= 1 for share in measured.values())
    stage = YAML(typ="safe").load((finished / "dvc.lock").read_text())["stages"]["saturation"]
    ours = [one["path"] for one in stage["deps"] if one["path"].endswith("saturation.py")]
    assert ours == [f"src/pixelproof/{room}/saturation.py" for room in ("params", "stages")]


def test_the_architecture_is_built_trained_and_hardened(finished: Path) -> None:
    for name in ("baseline", "hardened"):
        folder = finished / "artifacts" / "models" / name
        assert json.loads((folder / "classifier.json").read_text())["architecture"] == "small_cnn"


def test_nothing_is_left_to_do(finished: Path) -> None:
    said = run_with(environment(finished), finished, "dvc", "repro")
    assert "Running stage" not in said
