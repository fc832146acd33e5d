"""One tiny network in every form in which a person may have it, for `pixelproof score`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

CLASSES = ("dark", "light", "mixed")
SIDE = 16
MEAN, STD = 0.25, 0.5
CALLS: list[int] = []  # the sizes of the batches that `labels` was asked for


class Brightness(nn.Module):
    """Tells images by how bright they are; a few stuck pixels move those near a border."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([-4.0, 4.0, 0.0]).view(3, 1))
        self.bias = nn.Parameter(torch.tensor([0.0, 0.0, 0.1]))
        self.middle = (0.5 - MEAN) / STD

    def forward(self, images: Tensor) -> Tensor:
        """Scores (B, 3) of normalised images (B, 3, H, W)."""
        mean = images.flatten(1).mean(dim=1, keepdim=True) - self.middle
        return nn.functional.linear(mean, self.weight, self.bias)


def network() -> Brightness:
    return Brightness().eval()


def scores(batch: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """What the network says of uint8 images NHWC."""
    floats = torch.from_numpy(batch.transpose(0, 3, 1, 2).copy()).float() / 255
    with torch.inference_mode():
        answers: npt.NDArray[np.float32] = network()((floats - MEAN) / STD).numpy()
    return answers


def labels(batch: npt.NDArray[np.uint8]) -> list[str]:
    """The names of the classes, alone."""
    CALLS.append(len(batch))
    return [CLASSES[one] for one in scores(batch).argmax(axis=1)]


def images(count: int = 24) -> npt.NDArray[np.uint8]:
    """Gray images (N, 3, SIDE, SIDE), from dark to light, each with a texture of its own."""
    random = np.random.default_rng(0)
    levels = np.linspace(60, 195, count).astype(np.int64)[:, None, None, None]
    texture = random.integers(-20, 21, (count, 1, SIDE, SIDE))
    gray = np.clip(levels + texture, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(gray, 3, axis=1))


def truth(pixels: npt.NDArray[np.uint8]) -> list[str]:
    """The right classes, which are what the network says."""
    return [CLASSES[one] for one in scores(pixels.transpose(0, 2, 3, 1)).argmax(axis=1)]


def write_folders(root: Path) -> Path:
    """The images as files, by class."""
    pixels = images()
    for at, (image, name) in enumerate(zip(pixels, truth(pixels), strict=True)):
        path = root / name / f"{at:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(path)
    return root


def save_onnx(
    path: Path, *, batch: int | str = "batch", nhwc: bool = False, uint8: bool = False
) -> Path:
    """The network as an ONNX file, written node by node."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    shape = [batch, SIDE, SIDE, 3] if nhwc else [batch, 3, SIDE, SIDE]
    constants: dict[str, Any] = {}
    nodes, name = [], "images"
    if uint8:  # it owns its normalisation
        constants = {"by": np.float32(255), "mean": np.float32(MEAN), "std": np.float32(STD)}
        nodes = [
            helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["floats", "by"], ["unit"]),
            helper.make_node("Sub", ["unit", "mean"], ["centred"]),
            helper.make_node("Div", ["centred", "std"], ["normalised"]),
        ]
        name = "normalised"
    constants |= {
        "axes": np.array([1, 2, 3], np.int64),
        "shape": np.array([-1, 1], np.int64),
        "middle": np.float32((0.5 - MEAN) / STD),
        "weight": np.array([[-4.0, 4.0, 0.0]], np.float32),
        "bias": np.array([0.0, 0.0, 0.1], np.float32),
    }
    nodes += [
        helper.make_node("ReduceMean", [name, "axes"], ["mean4"], keepdims=0),
        helper.make_node("Reshape", ["mean4", "shape"], ["column"]),
        helper.make_node("Sub", ["column", "middle"], ["level"]),
        helper.make_node("MatMul", ["level", "weight"], ["slopes"]),
        helper.make_node("Add", ["slopes", "bias"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("images", TensorProto.UINT8 if uint8 else 1, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 3])],
        [numpy_helper.from_array(np.asarray(one), key) for key, one in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    onnx.save(model, str(path))
    return path


def save_linear_onnx(path: Path, inputs: int) -> Path:
    """A linear network as an ONNX file that names no size: it fails for images of another one."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, "h", "w"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(np.ones((inputs, 3), np.float32), "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    onnx.save(model, str(path))
    return path


def changing() -> Callable[[Any], Any]:
    """A model that answers the same images differently."""
    random = np.random.default_rng(0)
    return lambda batch: scores(batch) + random.normal(size=(len(batch), 3))
