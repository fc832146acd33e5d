"""What computes a classifier's answers on a CPU where no gradient is wanted: torch, or OpenVINO.

An engine is chosen in `params.yaml` and never by what is installed, so that a result does not
depend on that. Gradients are torch's in any case, and so is everything on a GPU.
"""

import queue
import sys
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pixelproof.errors import DataError, NumericalError, ParameterError, one_line
from pixelproof.models.classifier import Classifier
from pixelproof.models.side_by_side import lanes
from pixelproof.params.evaluate import Engine

CHECKED = 8  # images on which an engine is compared with torch
TOLERANCE = 1e-4  # by how much logits may differ from torch's, as a share of the largest, or of 1


def use_engine(engine: Engine, classifier: Classifier, images: Tensor) -> None:
    """Have an engine answer for a classifier, where it is on a CPU and no gradient is wanted.

    Args:
        engine: Which.
        classifier: In eval mode; its weights must not change from here on.
        images: (B, 3, H, W) uint8, some real ones on its device; the engine is compared with
            torch on them.

    Raises:
        DataError: The engine is not installed.
        ParameterError: It does not know an operation of the network.
        NumericalError: It answers otherwise than torch.
    """
    classifier.engine = None
    if engine == "torch" or images.device.type != "cpu":
        return
    with torch.inference_mode():
        expected = classifier(images)
        classifier.engine = OpenVino(classifier, images)
        got = classifier(images)
    scale = float(expected.abs().amax().clamp(min=1))
    far = float((got - expected).abs().amax()) / scale
    if torch.isfinite(expected).all() and not far <= TOLERANCE:
        raise NumericalError(
            f"evaluate.engine: {engine} answers otherwise than torch for {classifier.architecture}:"
            f" logits differ by {far:.1e}, expected {TOLERANCE:.0e} at most; set it to torch"
        )


class OpenVino:
    """A network that OpenVINO runs, in as many streams of one thread as there are lanes.

    Its answer for an image depends on no other image of the batch.
    """

    def __init__(self, classifier: Classifier, images: Tensor) -> None:
        """Convert a network; images (B, 3, H, W) say of which size its inputs are."""
        # What it would report to its makers unasked stays here: without this package it is silent.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        try:
            import openvino
        except ImportError:
            raise DataError(
                "evaluate.engine: the package openvino is missing: pip install "
                "'pixelproof[openvino]', or set it to torch"
            ) from None
        example = torch.zeros(2, *images.shape[1:])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of torch, that tracing is old
                model = openvino.convert_model(classifier.network, example_input=example)
            model.reshape([-1, *images.shape[1:]])
            compiled = openvino.Core().compile_model(model, "CPU", _settings())
        except Exception as error:  # a converter raises whatever its parts raise
            raise ParameterError(
                f"evaluate.engine: openvino cannot run {classifier.architecture}: "
                f"{one_line(str(error))[:200]}; set it to torch"
            ) from error
        self._compiled = compiled
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()  # one request serves one thread

    def __call__(self, normalised: Tensor) -> Tensor:
        """Logits (B, K) for normalised floats (B, 3, H, W)."""
        try:
            request = self._idle.get_nowait()
        except queue.Empty:
            request = self._compiled.create_infer_request()
        (logits,) = request.infer([normalised.contiguous().numpy()]).values()
        answer = torch.from_numpy(np.array(logits))
        self._idle.put(request)
        return answer


def _settings() -> dict[str, Any]:
    threads = torch.get_num_threads()
    return {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": lanes(torch.device("cpu")),
        "INFERENCE_PRECISION_HINT": "f32",
    }
