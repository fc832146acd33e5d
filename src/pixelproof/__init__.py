"""Measure how a classifier bears a few changed pixels, harden it, and keep the proof."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixelproof.models.loading import load_classifier as load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> object:
    """Import `load` when it is first asked for: torch takes seconds."""
    if name == "load":
        from pixelproof.models.loading import load_classifier

        return load_classifier
    raise AttributeError(f"module 'pixelproof' has no attribute {name!r}")
