"""Measure how a classifier bears a few changed pixels, harden it, and keep the proof."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixelproof.api.pixel_index import PixelIndex
    from pixelproof.api.small_distance import SmallDistance
    from pixelproof.api.sparse_rs import sparse_rs
    from pixelproof.core.attacks.fgsm import fgsm
    from pixelproof.core.pixel_changes import apply_changes, draw_changes, small_distance_samples
    from pixelproof.data.image_set import image_id
    from pixelproof.models.loading import load_classifier as load
    from pixelproof.scoring.score import score

__version__ = "0.1.0"
__all__ = [
    "PixelIndex",
    "SmallDistance",
    "__version__",
    "apply_changes",
    "draw_changes",
    "fgsm",
    "image_id",
    "load",
    "score",
    "small_distance_samples",
    "sparse_rs",
]

# Imported when they are first asked for: torch takes seconds.
_HOMES = {
    "PixelIndex": "pixelproof.api.pixel_index:PixelIndex",
    "SmallDistance": "pixelproof.api.small_distance:SmallDistance",
    "apply_changes": "pixelproof.core.pixel_changes:apply_changes",
    "draw_changes": "pixelproof.core.pixel_changes:draw_changes",
    "fgsm": "pixelproof.core.attacks.fgsm:fgsm",
    "image_id": "pixelproof.data.image_set:image_id",
    "load": "pixelproof.models.loading:load_classifier",
    "score": "pixelproof.scoring.score:score",
    "small_distance_samples": "pixelproof.core.pixel_changes:small_distance_samples",
    "sparse_rs": "pixelproof.api.sparse_rs:sparse_rs",
}


def __getattr__(name: str) -> object:
    """Import a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module 'pixelproof' has no attribute {name!r}")
    from pkgutil import resolve_name

    found = globals()[name] = resolve_name(_HOMES[name])
    return found


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
