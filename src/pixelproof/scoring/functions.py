"""Targets that are Python functions, from a batch of uint8 images to labels or scores."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pixelproof.errors import ParameterError
from pixelproof.scoring.target import Target, TargetOptions, refuse_normalisation, to_layout
from pixelproof.system.own_modules import import_named


def function_target(name: str, options: TargetOptions) -> Target:
    """A function by name, `package.module:function`, found from the current folder.

    Raises:
        ParameterError: It cannot be imported, or is no function.
    """
    function = import_named(name, name, "package.module:function")
    if not callable(function):
        got = type(function).__name__
        raise ParameterError(f"{name}: expected a function of a batch of images, got {got}")
    return callable_target(function, name, options)


def callable_target(function: Callable[[Any], Any], source: str, options: TargetOptions) -> Target:
    """A function that is given uint8 batches, NHWC unless the options say otherwise.

    Raises:
        ParameterError: The options have a normalisation, which is the function's.
    """
    asked = options.preprocessing
    refuse_normalisation(asked, source)
    layout = asked.layout or "nhwc"

    def ask(images: Any) -> Any:
        return function(to_layout(np.asarray(images), layout))

    return Target(
        source,
        ask,
        asked.side,
        asked.fit or "stretch",
        options.classes,
        layout=layout,
        words=f"uint8 {layout.upper()}",
    )
