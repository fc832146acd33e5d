"""The sweep over changed images, beside bare forward passes, and beside what people write.

    python -m benchmarks.sweep           two minutes

EfficientNet-Lite0 at 224 px, 64 pixels changed in each image. The former with one thread, by
processor time; the latter with two, by the clock, where nothing else should run. A figure is a
function that returns its entries, and stands in `FIGURES`.
"""

from pixelproof.system.tuning import keep_memory

keep_memory()  # as each stage does

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.functional import to_tensor

from benchmarks.plain_network import PlainNetwork
from benchmarks.rounds import Entry, record, require_same, take_turns, times_as_fast
from pixelproof.core.pixel_changes import apply_changes, apply_in_place, draw_changes
from pixelproof.evaluation.prediction import Change, Int64, UInt64, predict
from pixelproof.models.baseline import open_classifier
from pixelproof.models.classifier import Classifier
from pixelproof.models.devices import DeviceImages
from pixelproof.models.engines import use_engine
from pixelproof.params.baselines import Baseline

Images = npt.NDArray[np.uint8]

COUNT, SIDE, N, BATCH, ROUNDS = 64, 224, 64, 32, 9
SHARED = 4  # in a batch of the twenty photographs, so that two lanes have as much to do
CPU = torch.device("cpu")


def make_classifier() -> Classifier:
    """Random weights: what they are changes no time."""
    torch.set_num_threads(1)
    baseline = Baseline("efficientnet_lite0", weights="none", epochs=1)
    return open_classifier(baseline, ("a", "b"), "baseline").eval()


def drawn(ids: UInt64) -> Change:
    """Draws the changes of a batch and applies them, as a sweep does."""

    def change(batch: Tensor, rows: Int64) -> None:
        apply_in_place(batch, draw_changes(ids[rows], N, (SIDE, SIDE), seed=1).to(CPU))

    return change


def against_forward() -> dict[str, Entry]:
    """Images taken, changed, predicted and judged, beside the passes through the network alone."""
    classifier = make_classifier()
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, 3, SIDE, SIDE), dtype=np.uint8)
    ids, targets = np.arange(COUNT, dtype=np.uint64), np.arange(COUNT) % 2
    changes = draw_changes(ids, N, (SIDE, SIDE), seed=1)
    images = DeviceImages(pixels, CPU)
    changed = torch.from_numpy(apply_changes(pixels, changes))
    resident = [changed[start : start + BATCH] for start in range(0, COUNT, BATCH)]

    def sweep() -> Int64:
        judged = predict(classifier, images, targets, BATCH, lambda amount: None, drawn(ids))
        return judged.predicted

    def forward() -> list[Tensor]:
        with torch.inference_mode():
            return [classifier(batch) for batch in resident]

    require_same("predictions", sweep(), torch.cat(forward()).argmax(dim=1))
    seconds = take_turns({"sweep": sweep, "forward": forward}, ROUNDS)
    against = "bare forward passes over changed images that lie ready"
    return {"sweep_vs_forward": times_as_fast(seconds, "sweep", "forward", against)}


class Files(Dataset[tuple[Tensor, int]]):
    """The changed images as PNG files, read and made floats one by one."""

    def __init__(self, folder: Path, images: Images) -> None:
        self.paths = [folder / f"{at}.png" for at in range(len(images))]
        for path, image in zip(self.paths, images, strict=True):
            Image.fromarray(image.transpose(1, 2, 0)).save(path)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, at: int) -> tuple[Tensor, int]:
        with Image.open(self.paths[at]) as image:
            return to_tensor(image.convert("RGB")), at


def photographs() -> Images:
    """Photographs, which compress as images do: foolbox has twenty."""
    import foolbox

    paths = sorted(Path(foolbox.__file__).parent.joinpath("data").glob("imagenet_*.jpg"))
    images = [Image.open(path).convert("RGB").resize((SIDE, SIDE)) for path in paths]
    return np.stack([np.asarray(image) for image in images]).transpose(0, 3, 1, 2).copy()


def against_naive() -> dict[str, Entry]:
    """The sweep with OpenVINO, beside PNG files, a DataLoader and the network as published."""
    classifier, plain = make_classifier(), PlainNetwork(make_classifier())
    torch.set_num_threads(2)
    pixels = photographs()
    ids, targets = np.arange(len(pixels), dtype=np.uint64), np.arange(len(pixels)) % 2
    changes = draw_changes(ids, N, (SIDE, SIDE), seed=1)
    images = DeviceImages(pixels, CPU)
    use_engine("openvino", classifier, torch.from_numpy(pixels[:4].copy()))

    def sweep() -> Int64:
        judged = predict(classifier, images, targets, SHARED, lambda amount: None, drawn(ids))
        return judged.predicted

    def naive() -> Tensor:
        with torch.no_grad():
            return torch.cat([plain(batch).argmax(dim=1) for batch, _ in loader])

    with tempfile.TemporaryDirectory() as folder:
        loader = DataLoader(Files(Path(folder), apply_changes(pixels, changes)), BATCH)
        require_same("predictions", sweep(), naive())
        seconds = take_turns({"sweep": sweep, "naive": naive}, ROUNDS, time.perf_counter)
    against = "PNG files, a DataLoader, torch as it comes, in NCHW"
    return {"sweep_vs_naive_cpu": times_as_fast(seconds, "sweep", "naive", against)}


FIGURES: list[Callable[[], dict[str, Entry]]] = [against_forward, against_naive]


def main() -> None:
    for figure in FIGURES:
        record(figure())


if __name__ == "__main__":
    main()
