"""Network code that a model folder names runs only where this project names the same code."""

import re
from pathlib import Path

from pixelproof.errors import IntegrityError
from pixelproof.params.project import load_params
from pixelproof.paths import PARAMS
from pixelproof.system import git

_CODE = re.compile(r"python:[\w.]+:\w+", re.ASCII)


def check_code(architecture: str, folder: Path) -> None:
    """Let a model folder name code only if the project in the current folder names it, too.

    Anyone may have written the folder, and to import code is to run it.

    Args:
        architecture: `python:package.module:factory`, as the folder has it.
        folder: The model folder.

    Raises:
        IntegrityError: Neither `params.yaml` nor an earlier, committed one names it.
        ParameterError: `params.yaml` is not what it must be.
    """
    here = Path.cwd()
    inside = here.is_relative_to(folder.resolve())  # its params.yaml came with the model
    if not inside and PARAMS.is_file() and (_named(architecture) or _named_before(architecture)):
        return
    raise IntegrityError(
        f"{folder}: its network is code, {architecture}, which would run; expected one that "
        f"params.yaml names as a baseline's `classifier` or `architecture`, got none in {here}; "
        "if the code is yours, work where it lies and name it there, and never a stranger's"
    )


def _named(architecture: str) -> bool:
    baselines = load_params(PARAMS).baselines.values()
    return architecture in {
        name for baseline in baselines for name in (baseline.classifier, baseline.architecture)
    }


def _named_before(architecture: str) -> bool:
    """Whether the history has it: a champion may be of a network that is no longer in use."""
    if not _CODE.fullmatch(architecture):
        return False
    name = architecture.replace(".", r"\.")
    line = rf"""(classifier|architecture): *["']?{name}["']?[[:space:]]*([,}}#]|$)"""
    log = ("log", "-1", "--format=%H", "--extended-regexp", f"-G{line}", "--", str(PARAMS))
    return bool(git.query(*log))
