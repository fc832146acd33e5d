"""What a network of one's own has seen: declared, or said to be unknown."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pixelproof.cli import main
from pixelproof.data.image_set import hex_id, load_images
from pixelproof.data.seen import declared_images
from pixelproof.errors import DataError, IntegrityError, ParameterError
from pixelproof.models.baseline import open_classifier
from pixelproof.models.metadata import seen_images, seen_is_known
from pixelproof.params.project import Params
from pixelproof.paths import IMAGES, MODELS
from pixelproof.system import files
from tests.conftest import write_params
from tests.unit.stages.test_stages import STEPS


def toy(path: Path, **baseline: Any) -> Params:
    """The toy parameters; None takes a key away."""

    def change(content: dict[str, Any]) -> None:
        keys = content["baselines"]["baseline"] | baseline
        content["baselines"]["baseline"] = {k: v for k, v in keys.items() if v is not None}

    return write_params(path / "params.yaml", change)


@pytest.fixture
def params(project: Path) -> Params:
    assert main.main(["stage", "select"]) == 0
    return toy(project)


def held_out(folder: Path, count: int, params: Params) -> set[int]:
    """Copies of some held-out images, at some depth; returns their ids."""
    images = load_images(IMAGES, "held_out", params.select)
    for path in images.paths[:count]:
        (folder / "deep" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path("data", path), folder / "deep" / path)
    return set(images.ids[:count].tolist())


def test_each_way_to_declare_gives_the_ids_of_select(project: Path, params: Params) -> None:
    select = params.select
    expected = held_out(project / "known", 5, params)
    (project / "known" / "notes.txt").write_text("no image")
    assert declared_images("known", select) == expected
    (project / "ids.txt").write_text("".join(f"{hex_id(one)}\n" for one in expected))
    assert declared_images("ids.txt", select) == expected
    train = set(load_images(IMAGES, "train", params.select).ids.tolist())
    assert declared_images("artifacts/images/manifest.json", select) == train
    assert declared_images("none", select) == frozenset()


def test_a_declaration_that_declares_nothing_is_an_error(project: Path, params: Params) -> None:
    (project / "empty").mkdir()
    (project / "odd.txt").write_text("0123456789abcdef\ncat.png\n")
    for name, words in (
        ("empty", "empty: expected the images that were seen, got none; `none` says so"),
        ("nowhere", "nowhere: missing; expected `none`, a folder"),
        ("odd.txt", "odd.txt, line 2: expected an image id"),
        ("data/bad/000.png", "000.png: expected a text file"),
    ):
        with pytest.raises(DataError, match=words):
            declared_images(name, params.select)


def test_a_manifest_must_be_of_images_of_the_same_side(project: Path, params: Params) -> None:
    path = IMAGES / "manifest.json"
    other = files.read_sealed(path)
    files.write_sealed(project / "other.json", other | {"side": 17})
    with pytest.raises(ParameterError, match="other.json: expected side 16, as in `select`, got"):
        declared_images("other.json", params.select)
    (project / "other.json").write_text(path.read_text().replace('"good"', '"goof"'))
    with pytest.raises(IntegrityError, match=r"other\.json: damaged"):
        declared_images("other.json", params.select)


def test_unknown_is_said_wherever_figures_are(project: Path) -> None:
    toy(project, seen=None)
    for step in STEPS:
        assert main.main(["stage", *step]) == 0
    names = ["baseline", "clean", "stuck-8"]
    assert not any(seen_is_known(MODELS / name) for name in names), "arms inherit it"
    assert json.loads(Path("metrics/summary.json").read_text())["unknown_seen"] == names
    for report in ("reports/index.html", "reports/summary.md"):
        assert "unknown for baseline, clean, stuck-8, which" in Path(report).read_text()


def test_what_is_declared_is_left_out(project: Path, params: Params) -> None:
    expected = held_out(project / "known", 5, params)
    toy(project, seen="known")
    for step in STEPS[1:]:
        assert main.main(["stage", *step]) == 0
    train = set(load_images(IMAGES, "train", params.select).ids.tolist())
    for name in ("baseline", "clean"):
        assert seen_images(MODELS / name) == expected | train
        assert seen_is_known(MODELS / name)
    digest = json.loads(Path("metrics/summary.json").read_text())
    assert (digest["left_out_as_seen"], digest["unknown_seen"]) == (5, [])


def test_a_model_folder_passes_on_what_is_unknown(project: Path, params: Params) -> None:
    own = {"classifier": "python:tiny_network:factory", "epochs": 0}
    toy(project, **own, seen=None)
    assert main.main(["stage", "baseline", "baseline"]) == 0
    shutil.copytree(MODELS / "baseline", project / "mine")
    folder = {"classifier": "mine", "architecture": own["classifier"], "weights": None}
    for seen, known in ((None, False), ("none", True)):
        toy(project, **folder, epochs=0, seen=seen)
        assert main.main(["stage", "baseline", "baseline"]) == 0
        assert seen_is_known(MODELS / "baseline") is known


@pytest.mark.parametrize(
    ("classifier", "weights", "known"),
    [
        ("efficientnet_lite0", "imagenet", True),
        ("torchvision:squeezenet1_1", "none", True),
        ("python:tiny_network:factory", "none", False),
        ("python:tiny_network:factory", "own.safetensors", False),
    ],
)
def test_of_which_weights_it_is_known(
    classifier: str, weights: str, known: bool, project: Path, params: Params
) -> None:
    if weights.startswith("own"):
        toy(project, epochs=0)
        assert main.main(["stage", "baseline", "baseline"]) == 0
        shutil.copy(MODELS / "baseline" / "model.safetensors", project / weights)
    baseline = toy(project, classifier=classifier, weights=weights).baselines["baseline"]
    opened = open_classifier(baseline, ("bad", "good"), "baseline")
    assert (opened.source.get("seen") != "unknown") is known
