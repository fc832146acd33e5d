"""A person's own code by its name, found from the current folder."""

import importlib
import sys
from pathlib import Path
from typing import Any

from pixelproof.errors import ParameterError


def import_named(name: str, said: str, form: str) -> Any:
    """What `package.module:attribute` names.

    Args:
        name: In that form.
        said: How a person wrote it, for errors.
        form: How it should be written, for errors.

    Raises:
        ParameterError: It is of another form, or cannot be imported.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ParameterError(f"{said}: expected {form}")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a person's own code may raise anything
        raise ParameterError(f"{said}: cannot be imported from {Path.cwd()}: {error}") from error
