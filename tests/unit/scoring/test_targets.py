"""One network in every form it may come in gives the same counts."""

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pixelproof.errors import DataError, IntegrityError, ParameterError
from pixelproof.models.classifier import Classifier
from pixelproof.models.storage import save_classifier
from pixelproof.scoring.score import Settings, score
from pixelproof.scoring.target import Preprocessing, TargetOptions
from pixelproof.scoring.targets import find_target
from tests.support import scored
from tests.support.tiny_network import TinyNetwork

NORMALISED: Settings = {"mean": (scored.MEAN,), "std": (scored.STD,), "side": scored.SIDE}
ASKED: Settings = {"n": (4, 32), "draws": 4, "device": "cpu"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scored.write_folders(tmp_path_factory.mktemp("images"))


def counts(model: Any, folders: Path, **settings: Any) -> list[int]:
    result = score(model, folders, **{"classes": scored.CLASSES, **ASKED, **settings})
    assert result.clean is not None
    assert result.clean.wrong == 0
    return [row.wrong for row in result.rows]


@pytest.fixture(scope="module")
def expected(folders: Path) -> list[int]:
    found = counts(scored.network(), folders, **NORMALISED)
    assert 0 < found[0] < found[1]
    return found


def test_functions(folders: Path, expected: list[int]) -> None:
    assert counts(scored.scores, folders, side=scored.SIDE) == expected
    assert counts("tests.support.scored:scores", folders, side=scored.SIDE) == expected
    assert counts(scored.labels, folders, side=scored.SIDE) == expected


def test_an_object_that_predicts(folders: Path, expected: list[int]) -> None:
    class Model:
        def predict(self, batch: Any) -> Any:
            return scored.scores(batch)

    assert counts(Model(), folders, side=scored.SIDE) == expected


def test_torchscript(folders: Path, expected: list[int], tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that it is old
        torch.jit.save(torch.jit.script(scored.network()), str(path))
    assert counts(path, folders, **NORMALISED) == expected


def test_files_that_can_run_code_ask_for_trust(
    folders: Path, expected: list[int], tmp_path: Path
) -> None:
    exported, pickled = tmp_path / "model.pt2", tmp_path / "model.pth"
    shape = ({0: torch.export.Dim("batch", min=2, max=64)},)
    example = (torch.zeros(2, 3, scored.SIDE, scored.SIDE),)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries that it uses
        program = torch.export.export(scored.network(), example, dynamic_shapes=shape)
        torch.export.save(program, exported)
    torch.save(scored.network(), pickled)
    for path in (exported, pickled):
        with pytest.raises(IntegrityError, match="--trust"):
            counts(path, folders, **NORMALISED)
        assert counts(path, folders, trust=True, **NORMALISED) == expected


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("sprung"),)


def test_a_malicious_file_is_not_run(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("model.pt", "model.pth", "model.ts"):
        torch.save(Trap(), tmp_path / name)
        with pytest.raises(IntegrityError, match="can run any code"):
            counts(tmp_path / name, folders)
    assert not (tmp_path / "sprung").exists()


def test_a_state_dict_is_no_network(folders: Path, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(scored.network().state_dict(), path)
    with pytest.raises(DataError, match="expected a network, got"):
        counts(path, folders, trust=True)
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match="expected a file of TorchScript"):
        counts(path, folders)


@pytest.mark.parametrize("form", [{}, {"batch": 5}, {"nhwc": True}, {"uint8": True}])
def test_onnx(folders: Path, expected: list[int], tmp_path: Path, form: dict[str, Any]) -> None:
    path = scored.save_onnx(tmp_path / "model.onnx", **form)
    settings: Any = {} if form.get("uint8") else NORMALISED
    assert counts(path, folders, **settings) == expected


def test_onnx_says_what_it_cannot_take(folders: Path, tmp_path: Path) -> None:
    path = scored.save_onnx(tmp_path / "model.onnx", uint8=True)
    with pytest.raises(ParameterError, match="owns its normalisation"):
        counts(path, folders, **NORMALISED)
    with pytest.raises(ParameterError, match=f"expected images of side {scored.SIDE}"):
        counts(path, folders, side=32)
    path.write_bytes(b"no model")
    with pytest.raises(DataError, match="cannot load it"):
        counts(path, folders)


@pytest.mark.parametrize("form", ["script", "module", "onnx"])
def test_a_network_that_fails_says_what_it_was_given(
    folders: Path, tmp_path: Path, form: str
) -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 3)).eval()
    model: Any = network
    if form == "script":
        model = tmp_path / "model.pt"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch says that it is old
            torch.jit.save(torch.jit.script(network), str(model))
    if form == "onnx":
        model = scored.save_linear_onnx(tmp_path / "model.onnx", 3 * 8 * 8)
    with pytest.raises(DataError, match=r"for images \(24, 3, 16, 16\), NCHW: ") as error:
        counts(model, folders, side=scored.SIDE)
    assert ("MatMul" if form == "onnx" else "shapes cannot be multiplied") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_extra_is_one_line(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ParameterError, match=r"pip install 'pixelproof\[onnx\]'"):
        counts(tmp_path / "model.onnx", folders)


def test_a_model_folder_owns_side_and_normalisation(folders: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    mean = (0.5, 0.5, 0.5)
    classifier = Classifier(
        TinyNetwork(3), "python:tests.support.tiny_network:factory", scored.CLASSES, mean, mean,
        {}, scored.SIDE,
    ).eval()  # fmt: skip
    save_classifier(classifier, tmp_path / "model", [])
    with pytest.raises(IntegrityError, match="would run"):
        find_target(tmp_path / "model", TargetOptions())
    target = find_target(tmp_path / "model", TargetOptions(trust=True, device="cpu"))
    pixels = scored.images()
    answers = target.answer(target.place(pixels)).scores
    assert answers is not None
    with torch.inference_mode():
        assert np.array_equal(answers, classifier(torch.from_numpy(pixels)).numpy())
    with pytest.raises(ParameterError, match="expected images of side 16"):
        find_target(tmp_path / "model", TargetOptions(Preprocessing(side=32), trust=True))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("efficientnet_lite7", "did you mean 'efficientnet_lite"),
        ("torchvision:resnet1", "did you mean"),
        ("no.such.module:function", "cannot be imported"),
        ("tests.support.scored:CLASSES", "expected a function"),
        ("missing.onnx", "no such file"),
        ("models:/name@champion", "mlflow.pyfunc.load_model"),
        ("ftp://host/invocations", "expected a name"),
        (42, "got int"),
    ],
)
def test_what_is_no_model_is_one_line(model: Any, words: str) -> None:
    with pytest.raises((ParameterError, DataError), match=words) as error:
        find_target(model, TargetOptions())
    assert "\n" not in str(error.value)


def test_training_mode_is_refused() -> None:
    with pytest.raises(ParameterError, match="eval mode"):
        find_target(TinyNetwork(3).train(), TargetOptions())
