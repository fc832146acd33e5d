"""The worked examples of CONTRIBUTING.md, each followed literally in a copy of the project."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT, write_data
from tests.support.documents import Block, blocks
from tests.support.repository import ENVIRONMENT, run, run_with

MARK = "example: "
ALL = [one for one in blocks(ROOT / "CONTRIBUTING.md") if one.mark.startswith(MARK)]
MAKE = 'make() { command make -o .venv/ready "$@"; }\n'  # the environment is set up


def parts(name: str) -> list[tuple[str, Block]]:
    """The blocks of an example, each with what its mark says it is."""
    prefix = f"{MARK}{name}: "
    return [(one.mark.removeprefix(prefix), one) for one in ALL if one.mark.startswith(prefix)]


def copy_project(root: Path) -> Path:
    """A copy of what git knows of the project."""
    listed = run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # and not deleted since
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    return root


def apply(block: Block, target: str, root: Path) -> None:
    """Do with the files of a copy what a block shows."""
    if block.language == "diff":
        patch(root / target, block.text)
    elif target.startswith("append to "):
        for pattern in [*target.removeprefix("append to ").split(), "tests/support/toy.yaml"]:
            for path in root.glob(pattern):
                path.write_text(path.read_text() + block.text)
    else:
        assert not (root / target).exists(), target
        (root / target).write_text(block.text)


def patch(path: Path, text: str) -> None:
    """Put the lines with `+` where those with ` ` and `-` stand, which they do once."""
    lines = text.splitlines()
    before = "\n".join(line[1:] for line in lines if not line.startswith("+"))
    after = "\n".join(line[1:] for line in lines if not line.startswith("-"))
    content = f"\n{path.read_text()}"
    assert content.count(f"\n{before}\n") == 1, f"{path}: expected once:\n{before}"
    path.write_text(content.replace(f"\n{before}\n", f"\n{after}\n")[1:])


def follow(name: str, root: Path) -> dict[str, str]:
    """Follow an example on toy images, check that the project holds, and return the environment."""
    environment = ENVIRONMENT | {"PIXELPROOF_TRACKING": "off", "PYTHONPATH": str(root / "src")}
    chosen: dict[str, object] = {}
    commands = ""
    for target, block in parts(name):
        if target == "run":
            commands += block.text
        elif target == "params.yaml":
            chosen |= YAML(typ="safe").load(block.text)
        else:
            apply(block, target, root)
    check_style(root)
    default = (root / "params.yaml").read_text()
    use_toy(root, chosen)
    run_with(environment, root, "bash", "-euc", MAKE + commands)
    shutil.copy(root / "params.yaml", root / "toy.yaml")
    (root / "params.yaml").write_text(default)
    tests = [target for target, _ in parts(name) if target.startswith("tests/")]
    pytest_here = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider")
    run_with(environment, root, *pytest_here, "tests/unit/test_contracts.py", *tests)
    shutil.move(root / "toy.yaml", root / "params.yaml")
    return environment


def check_style(root: Path) -> None:
    for command in (("check",), ("format", "--check")):
        run(root, "ruff", *command, "-q", "--no-cache", "src", "tests/unit")


def use_toy(root: Path, chosen: dict[str, object]) -> None:
    """Toy images and parameters, and the sections that the example chooses."""
    params = YAML(typ="safe").load((root / "tests" / "support" / "toy.yaml").read_text())
    YAML(typ="safe").dump(params | chosen, root / "params.yaml")
    shutil.copy(root / "tests" / "support" / "tiny_network.py", root)
    write_data(root / "data")
    run(root, "git", "init", "-q")
    run(root, "dvc", "add", "-q", "data")
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", "toy")


def test_each_block_belongs_to_an_example_that_is_followed() -> None:
    assert {one.mark.removeprefix(MARK).partition(":")[0] for one in ALL} == {
        "stage",
        "architecture",
    }


def test_a_stage(tmp_path: Path) -> None:
    environment = follow("stage", copy_project(tmp_path))
    measured = json.loads((tmp_path / "metrics" / "saturation.json").read_text())
    assert set(measured) == {"bad", "good"}
    assert all(0 <= share <= 1 for share in measured.values())
    stage = YAML(typ="safe").load((tmp_path / "dvc.lock").read_text())["stages"]["saturation"]
    ours = [one["path"] for one in stage["deps"] if one["path"].endswith("saturation.py")]
    assert ours == [f"src/pixelproof/{room}/saturation.py" for room in ("params", "stages")]
    assert "is up to date" in run_with(environment, tmp_path, "dvc", "repro", "saturation")


def test_an_architecture(tmp_path: Path) -> None:
    environment = follow("architecture", copy_project(tmp_path))
    folder = tmp_path / "artifacts" / "models" / "baseline"
    assert json.loads((folder / "classifier.json").read_text())["architecture"] == "small_cnn"
    images = "data/good/000.png", "data/bad/000.png"
    said = run_with(environment, tmp_path, "pixelproof", "predict", str(folder), *images)
    assert len(said.splitlines()) >= len(images)


def test_a_patch_that_does_not_fit_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a\nb\na\n")
    for text in (" a\n+c\n", " d\n+c\n"):
        with pytest.raises(AssertionError):
            patch(tmp_path / "file", text)
    patch(tmp_path / "file", " b\n-a\n+c\n")
    assert (tmp_path / "file").read_text() == "a\nb\nc\n"
