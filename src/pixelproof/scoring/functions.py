"""Targets that are Python functions, from a batch of uint8 images to labels or scores."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pixelproof.errors import ParameterError
from pixelproof.scoring.target import Target, TargetOptions, refuse_normalisation, to_layout


def function_target(name: str, options: TargetOptions) -> Target:
    """A function by name, `package.module:function`, found from the current folder.

    Raises:
        ParameterError: It cannot be imported, or is no function.
    """
    module_name, _, attribute = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(module_name), attribute)
    except Exception as error:  # a person's own code may raise anything
        raise ParameterError(f"{name}: cannot be imported from {Path.cwd()}: {error}") from error
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
