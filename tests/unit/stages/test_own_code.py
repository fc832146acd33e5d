"""A stranger's model folder with code beside it, and commands that are pointed at it."""

import os
import subprocess
from pathlib import Path

import pytest

from pixelproof.errors import IntegrityError
from pixelproof.models.classifier import Classifier
from pixelproof.models.loading import load_classifier
from pixelproof.models.storage import save_classifier
from tests.conftest import SIZE, draw_image, write_params
from tests.support.repository import ENVIRONMENT, run
from tests.support.tiny_network import factory

OWN = "python:tiny_network:factory"  # as the toy parameters name it
EVIL = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n"


def save(folder: Path, architecture: str) -> Path:
    classes, zeros, ones = ("bad", "good"), (0.0,) * 3, (1.0,) * 3
    classifier = Classifier(factory(), architecture, classes, zeros, ones, {}, SIZE)
    save_classifier(classifier, folder, [])
    return folder


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """A folder as it may come from anywhere, with an image to try it on."""
    folder = save(tmp_path / "stranger", "python:evil:build")
    (folder / "evil.py").write_text(
        EVIL + "from tests.support.tiny_network import factory as build\n"
    )
    draw_image(1, 1).save(folder / "image.png")
    return folder


def predict(here: Path, folder: str, code: int, **variables: str) -> str:
    done = subprocess.run(
        ["pixelproof", "predict", folder, f"{folder}/image.png"],
        cwd=here,
        env=ENVIRONMENT | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("inside", [True, False])
def test_code_beside_a_strangers_weights_does_not_run(stranger: Path, inside: bool) -> None:
    write_params(stranger.parent / "params.yaml")
    here, folder = (stranger, ".") if inside else (stranger.parent, "stranger")
    said = predict(here, folder, 5, PYTHONPATH=str(stranger))
    assert "its network is code, python:evil:build, which would run; expected one that" in said
    assert said.count("\n") == 1
    assert not (stranger / "ran").exists()


def test_parameters_that_came_with_the_model_allow_nothing(stranger: Path) -> None:
    write_params(
        stranger / "params.yaml",
        lambda toy: toy["baselines"]["baseline"].update(classifier="python:evil:build"),
    )
    for here, folder in ((stranger, "."), (stranger.parent, "stranger")):
        predict(here, folder, 5, PYTHONPATH=str(stranger))
    (stranger / "deep").mkdir()
    predict(stranger / "deep", "..", 5, PYTHONPATH=str(stranger))
    assert not (stranger / "ran").exists()


@pytest.mark.parametrize("name", ["torch", "safetensors", "PIL"])
def test_modules_in_the_current_folder_replace_none(stranger: Path, name: str) -> None:
    save(stranger, "torchvision:squeezenet1_1")  # whatever the weights are
    (stranger / f"{name}.py").write_text(EVIL)
    draw_image(1, 1).save(stranger / "image.png")
    predict(stranger, ".", 3)
    assert not (stranger / "ran").exists()


def test_what_the_project_names_runs(project: Path) -> None:
    save(project / "model", OWN)
    draw_image(1, 1).save(project / "model" / "image.png")
    assert "image.png\t" in predict(project, "model", 0)


def test_what_the_project_named_before_runs(project: Path) -> None:
    """A champion may be of a network that is no longer among the originals."""
    run(project, "git", "init", "-q")
    run(project, "git", "add", "params.yaml", "tiny_network.py")
    run(project, "git", "commit", "-qm", "before")
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace(OWN, "efficientnet_lite0"))
    run(project, "git", "commit", "-qam", "after")
    assert load_classifier(save(project / "model", OWN))
    for other in (
        "python:tiny_network:factor",
        "python:tiny_network:.*",
        "python:tinyxnetwork:factory",
    ):
        with pytest.raises(IntegrityError, match="its network is code"):
            load_classifier(save(project / "model", other))
    run(project, "git", "checkout", "-q", "--orphan", "another")
    run(project, "git", "commit", "-qm", "without a history")
    with pytest.raises(IntegrityError, match="its network is code"):
        load_classifier(save(project / "model", OWN))


def test_without_git_the_present_parameters_count(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    assert load_classifier(save(project / "model", OWN))
    with pytest.raises(IntegrityError, match="its network is code"):
        load_classifier(save(project / "model", "python:tiny_network:three_classes"))
