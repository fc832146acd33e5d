"""What `pixelproof init` finds out, writes and refuses; DVC is asked in tests/pipeline."""

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from PIL import Image
from ruamel.yaml import YAML

from pixelproof.cli.main import main
from pixelproof.operations import first_look, project_files
from pixelproof.operations.first_look import Found, look
from pixelproof.operations.new_project import start_project
from pixelproof.params.behaviour import BEHAVIOUR, RECORD, Record, write_record
from pixelproof.params.project import load_params
from tests.conftest import ROOT, write_data

DEMO = Found(2223, ("defective", "functional"), 300, False, "efficientnet_lite0", "openvino")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with images of three classes."""
    root = tmp_path / "My Parts"
    root.mkdir()
    git(root, "init", "-q")
    write_data(root / "data", ("ok", "scratch", "dent"), 4)
    return root


def git(root: Path, *command: str) -> str:
    done = subprocess.run(["git", *command], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout


def refused(root: Path, code: int, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which a folder is refused, in which nothing is written."""
    before = sorted(root.rglob("*")) if root.is_dir() else []
    assert main(["init", str(root)]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert sorted(root.rglob("*")) == before, "nothing is written"
    return line


def loaded(tmp_path: Path, found: Found) -> Any:
    path = tmp_path / "params.yaml"
    path.write_text(project_files.params_text(found, "parts"))
    return load_params(path)


def test_the_demo_images_would_get_the_default_experiment(tmp_path: Path) -> None:
    default, made = load_params(ROOT / "params.yaml"), loaded(tmp_path, DEMO)
    assert default.gate is not None
    assert made == dataclasses.replace(
        default,
        select=dataclasses.replace(default.select, seed=2021, group=None),
        compare=dataclasses.replace(default.compare, defects=()),
        gate=dataclasses.replace(default.gate, name="parts"),
    )


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("shorter", [1, 32, 45, 64, 100, 128, 224, 4000])
def test_any_size_gives_an_experiment_that_is_valid(
    tmp_path: Path, shorter: int, gpu: bool
) -> None:
    found = dataclasses.replace(DEMO, shorter=shorter, gpu=gpu, engine="torch")
    params = loaded(tmp_path, found)
    assert params.select.side == max(32, min(shorter, 224 if gpu else 128))
    pixels = params.select.side**2
    assert pixels / 256 < params.compare.reference.n * 2 <= pixels / 32
    assert params.evaluate.batch_size == (64 if gpu else 8)


def test_names_that_yaml_would_take_for_something_else(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    odd = dataclasses.replace(DEMO, classes=("a\nselect: 1", "b"))
    path.write_text(project_files.params_text(odd, "2026"))
    gate = load_params(path).gate
    assert gate is not None
    assert gate.name == "2026"


def test_the_schema_that_comes_along_allows_what_is_written(tmp_path: Path) -> None:
    text = project_files.params_text(DEMO, "parts")
    first = text.splitlines()[0]
    schema = json.loads(project_files.renewable()[first.partition("$schema=")[2]])
    jsonschema.validate(YAML(typ="safe").load(text), schema)


def test_the_pipeline_is_this_one_with_numbers_in_place_of_source_files() -> None:
    ours = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
    theirs = YAML(typ="safe").load(project_files.renewable()["dvc.yaml"])["stages"]
    assert list(theirs) == list(BEHAVIOUR)
    for name, stage in ours.items():
        body = stage.get("do", stage)
        assert any(one.startswith("src/") for one in body["deps"])
        body["deps"] = [one for one in body["deps"] if not one.startswith("src/")]
        body["params"].append({"pixelproof.lock": [f"stages.{name}"]})
    assert theirs == ours
    templates = {Path(name).stem for name in project_files.renewable() if ".dvc/plots" in name}
    assert {path.stem for path in (ROOT / ".dvc" / "plots").iterdir()} == templates


def test_it_looks_at_images_and_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("a", (50, 70)), ("b", (90, 60)), ("c", (300, 300))):
        (tmp_path / name).mkdir()
        Image.new("L", size).save(tmp_path / name / "1.png")
    (tmp_path / "a" / "2.png").write_text("no image")
    monkeypatch.setattr(first_look, "GPU", tmp_path / "none")
    monkeypatch.setattr(first_look, "find_spec", lambda name: None)
    found = look(tmp_path)
    assert found == Found(4, ("a", "b", "c"), 60, False, "torchvision:efficientnet_b0", "torch")
    monkeypatch.setattr(first_look, "find_spec", lambda name: object())
    monkeypatch.setattr(first_look, "GPU", tmp_path)
    assert look(tmp_path) == Found(4, ("a", "b", "c"), 60, True, "efficientnet_lite0", "openvino")


def test_a_folder_that_no_git_knows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_data(tmp_path / "data")
    assert "expected a git repository, got none; run `git init`" in refused(tmp_path, 2, capsys)
    assert "expected a folder" in refused(tmp_path / "none", 2, capsys)


@pytest.mark.parametrize("path", ["params.yaml", "dvc.yaml", "flows/harden.py", "prefect.yaml"])
def test_no_file_that_exists_is_changed(
    repository: Path, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / path).parent.mkdir(exist_ok=True)
    (repository / path).write_text("learning_rate: 0.1\n")
    assert f"{path}: exists and stays as it is" in refused(repository, 2, capsys)


def test_what_an_interrupted_call_has_left_is_no_hindrance(repository: Path) -> None:
    start_project(repository)
    record = (repository / RECORD).read_bytes()
    for path in (RECORD, "dvc.yaml", "flows/harden.py"):
        (repository / path).unlink()
    start_project(repository)
    assert (repository / RECORD).read_bytes() == record


def test_a_project_is_not_made_twice(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_record(Record("0.1.0", BEHAVIOUR, {}), repository)
    assert "there is a project already; `pixelproof upgrade`" in refused(repository, 2, capsys)


def test_no_images(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = repository / "data"
    for path in data.rglob("*.png"):
        path.write_text("no image")
    assert "expected images (PNG, " in refused(repository, 3, capsys)
    for folder in ("scratch", "dent"):
        (data / folder).rename(data / f".{folder}")
    assert "expected two or more class folders, got ['ok']" in refused(repository, 3, capsys)
    data.rename(repository / "pictures")
    assert "data: expected a folder of images" in refused(repository, 3, capsys)


def test_images_that_git_tracks(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(repository, "add", "data/ok/000.png")
    said = refused(repository, 3, capsys)
    assert "got some that git does" in said
    git(repository, *said.split("`")[1].split()[1:])  # what it says to run
    assert git(repository, "ls-files") == ""
    assert (repository / "data" / "ok" / "000.png").is_file()


def test_an_upgrade_needs_a_project_of_this_version_or_an_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["upgrade"]) == 2
    assert "pixelproof.lock: missing; run in a project" in capsys.readouterr().err
    write_record(Record("9.1", {**BEHAVIOUR, "select": 99}, {}), tmp_path)
    before = (tmp_path / RECORD).read_bytes()
    assert main(["upgrade"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "made by the newer pixelproof 9.1" in line
    assert (tmp_path / RECORD).read_bytes() == before


def test_an_upgrade_renews_files_that_nobody_edited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    texts = project_files.renewable()
    old = {path: f"an older {path}\n" for path in texts}
    for path, text in old.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
    write_record(Record("0.0.1", BEHAVIOUR, project_files.digests(old)))
    Path("flows/monitor.py").write_text("edited\n")
    Path("flows/harden.py").unlink()
    assert main(["upgrade", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "No stage runs again" in said
    assert "dvc.yaml: would be renewed" in said
    assert "flows/monitor.py: differs in this version, but you have edited it: stays" in said
    assert Path("dvc.yaml").read_text() == old["dvc.yaml"]
    assert main(["upgrade"]) == 0
    expected = {**texts, "flows/monitor.py": "edited\n"}
    assert {path: Path(path).read_text() for path in texts} == expected
    capsys.readouterr()
    assert main(["upgrade"]) == 0, "an edited file is not taken for an unedited one later"
    assert capsys.readouterr().out.startswith("pixelproof.lock: nothing to change")
    assert Path("flows/monitor.py").read_text() == "edited\n"
