"""Targets in ONNX files, run by ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pixelproof.errors import DataError, ParameterError
from pixelproof.scoring.target import (
    Layout,
    Target,
    TargetOptions,
    normalisation,
    normalisation_words,
    refuse_normalisation,
    to_layout,
)

_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
Shape = list[int | str | None]


def onnx_target(path: Path, options: TargetOptions) -> Target:
    """A network in an ONNX file: floats or uint8, NCHW or NHWC, a fixed batch or any.

    Raises:
        ParameterError: ONNX Runtime is not installed, or the options do not go with the file.
        DataError: The file cannot be loaded, or does not take one batch of colour images.
    """
    session = _session(path, options.device)
    if len(session.get_inputs()) != 1:
        names = ", ".join(put.name for put in session.get_inputs())
        raise DataError(f"{path}: expected one input, a batch of images, got {names}")
    (put,) = session.get_inputs()
    layout = _layout(path, put.shape, options.preprocessing.layout)
    side = _side(path, put.shape, layout, options.preprocessing.side)
    if put.type == "tensor(uint8)":
        refuse_normalisation(options.preprocessing, str(path))
        words = f"uint8 {layout.upper()}"
    elif put.type in _FLOATS:
        words = f"{normalisation_words(options.preprocessing)}, {layout.upper()}"
    else:
        raise DataError(f"{path}: expected an input of floats or uint8, got {put.type}")
    mean, std = (
        np.array(numbers, np.float32).reshape(1, 3, 1, 1)
        for numbers in normalisation(options.preprocessing)
    )
    fixed = put.shape[0] if isinstance(put.shape[0], int) and put.shape[0] > 0 else None

    def ask(images: npt.NDArray[np.uint8]) -> Any:
        values: npt.NDArray[Any] = images
        if put.type in _FLOATS:
            values = ((images.astype(np.float32) / 255 - mean) / std).astype(_FLOATS[put.type])
        return _run(session, put.name, to_layout(values, layout), fixed)

    return Target(
        str(path),
        ask,
        side,
        options.preprocessing.fit or "stretch",
        options.classes,
        layout=layout,
        words=words,
    )


def _session(path: Path, device: str) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise ParameterError(
            f"{path}: ONNX Runtime is missing: pip install 'pixelproof[onnx]'"
        ) from None
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3  # errors alone
    # Its threads would look for work without end, and take the processor from others.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    known, gpu = {"auto", "cpu"}, "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if device not in known and not (gpu and device == "cuda"):
        offered = ", ".join(sorted(known | ({"cuda"} if gpu else set())))
        raise ParameterError(f"{path}: expected a device of ONNX Runtime, {offered}; got {device}")
    providers = ["CUDAExecutionProvider"] if gpu and device != "cpu" else ["CPUExecutionProvider"]
    try:
        return onnxruntime.InferenceSession(str(path), settings, providers=providers)
    except Exception as error:  # it raises classes of its own for each kind of damage
        reason = str(error).strip().split("\n")[0][:300]
        raise DataError(f"{path}: ONNX Runtime cannot load it: {reason}") from None


def _layout(path: Path, shape: Shape, asked: Layout | None) -> Layout:
    """The order of the axes: as asked for, or by where the three channels are."""
    if len(shape) != 4:
        raise DataError(f"{path}: expected an input of 4 axes, a batch of images, got {shape}")
    may: list[Layout] = []
    if shape[1] == 3 or not isinstance(shape[1], int):
        may.append("nchw")
    if shape[3] == 3 or not isinstance(shape[3], int):
        may.append("nhwc")
    if 3 in shape[1::2]:  # an axis that says 3 is known better than one that says nothing
        may = ["nchw"] if shape[1] == 3 else ["nhwc"]
    if not may or (asked and asked not in may):
        raise DataError(
            f"{path}: expected three channels, (B, 3, H, W) or (B, H, W, 3), got {shape}"
            + (
                f" and --layout {asked}"
                if asked
                else "; score images as gray by a function of yours"
            )
        )
    return asked or may[0]


def _side(path: Path, shape: Shape, layout: Layout, asked: int | None) -> int | None:
    height, width = shape[2:4] if layout == "nchw" else shape[1:3]
    fixed = [length for length in (height, width) if isinstance(length, int) and length > 0]
    if len(set(fixed)) > 1:
        raise DataError(f"{path}: expected square images, got {height} x {width}")
    if fixed and asked not in (None, fixed[0]):
        raise ParameterError(f"{path}: expected images of side {fixed[0]}, got --side {asked}")
    return fixed[0] if fixed else asked


def _run(session: Any, name: str, values: npt.NDArray[Any], fixed: int | None) -> Any:
    """The first output for a batch; a fixed batch is filled up with its last image."""
    size = fixed or max(1, len(values))
    parts = []
    for start in range(0, len(values), size):
        part = values[start : start + size]
        missing = size - len(part) if fixed else 0
        filled = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) if missing else part
        parts.append(np.asarray(session.run(None, {name: filled})[0])[: len(part)])
    return np.concatenate(parts)
