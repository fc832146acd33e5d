"""Images that flip, original beside changed, large enough to see each changed pixel."""

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pixelproof.core.pixel_changes import apply_changes
from pixelproof.data.drawn_changes import draws_name, load_change_set
from pixelproof.data.image_set import ImageSet, hex_id
from pixelproof.paths import CHANGES
from pixelproof.reporting.comparison import Comparison
from pixelproof.reporting.wording import pixels

GALLERY = 6  # images that flip


@dataclass(frozen=True)
class Shown:
    """An image that flips: before and after, and each model's prediction.

    Attributes:
        path: Of the file.
        label: The true class.
        side: The side of both images in pixels; the page enlarges them without smoothing.
        original: A data address of the unchanged image.
        changed: A data address of the changed one.
        frames: An SVG path around its changed pixels, in units of a pixel.
        said: By model, the prediction for the changed image.
    """

    path: str
    label: str
    side: int
    original: str
    changed: str
    frames: str
    said: dict[str, str]


def paths_by_id(manifest: dict[str, Any]) -> dict[str, str]:
    """The path of each image, by its id."""
    return {image["image"]: image["path"] for image in manifest["images"]}


def _png(pixels: npt.NDArray[np.uint8]) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _frames(positions: npt.NDArray[np.int64], side: int) -> str:
    """An SVG path of a frame around each changed pixel, which leaves the pixel itself visible."""
    corners = [(position % side - 0.25, position // side - 0.25) for position in positions]
    return "".join(f"M{x:g} {y:g}h1.5v1.5h-1.5z" for x, y in corners)


def gallery(comparison: Comparison, images: ImageSet, manifest: dict[str, Any]) -> list[Shown]:
    """Common images that an original gets wrong at the smallest n at which any does."""
    params = comparison.params
    name = params.compare.reference.experiment
    grid = params.reference_grid
    changes = load_change_set(CHANGES / "test", draws_name(grid.values, grid.area), images)
    row_of = {hex_id(int(image)): row for row, image in enumerate(images.ids)}
    paths, seen = paths_by_id(manifest), set()
    shown: list[Shown] = []
    models = list(params.models)
    for n in sorted(grid.n):
        wrong = {model: comparison.wrong(model, name, n=n) for model in models}
        total = sum(draws.sum(axis=1) for draws in wrong.values())
        for at in np.argsort(-total, kind="stable"):
            image = comparison.common[at]
            flipped = wrong[models[0]][at] if len(models) else np.zeros(0, bool)
            if not flipped.any() or image in seen or len(shown) == GALLERY:
                continue
            seen.add(image)
            draw, row = int(np.argmax(flipped)), row_of[image]
            unchanged = np.array(images.pixels[row : row + 1])
            change = changes.take(slice(row, row + 1), draw, n)
            after = apply_changes(unchanged.copy(), change)[0]
            said = {model: _prediction(comparison, model, image, name, n, draw) for model in models}
            label = images.classes[images.labels[row]]
            side = params.select.side
            title = f"{paths[image]}, {pixels(n, side, grid.values)}, draw {draw}"
            frames = _frames(change.positions[0], side)
            before, changed = _png(unchanged[0].transpose(1, 2, 0)), _png(after.transpose(1, 2, 0))
            shown.append(Shown(title, label, side, before, changed, frames, said))
    return shown


def _prediction(
    comparison: Comparison, model: str, image: str, experiment: str, n: int, draw: int
) -> str:
    ledger = comparison.ledgers[model]
    chosen = (ledger["experiment"] == experiment) & (ledger["image"] == image)
    chosen &= (ledger["n"] == n) & (ledger["draw"] == draw)
    return str(ledger.loc[chosen, "prediction"].iloc[0])
