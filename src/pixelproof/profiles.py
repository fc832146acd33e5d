"""Experiments to choose from: the files in `profiles/`, one of which becomes `params.yaml`."""

import subprocess
from itertools import count
from pathlib import Path

from pixelproof import files
from pixelproof.errors import DataError, ParameterError
from pixelproof.params import load_params
from pixelproof.schema import nearest

PARAMS = Path("params.yaml")
PROFILES = Path("profiles")
DEFAULT = "elpv"


def _known() -> dict[str, Path]:
    """The profiles by their short names."""
    return {path.stem: path for path in sorted(PROFILES.glob("*.yaml"))}


def _find(name: str) -> Path:
    known = _known()
    if name in known:
        return known[name]
    if not Path(name).is_file():
        raise ParameterError(
            f"profile: expected a file or one of {list(known)}, got {name!r}{nearest(name, known)}"
        )
    return Path(name)


def _committed() -> bytes | None:
    """What `params.yaml` holds in git's HEAD; None where there is no such commit, or no git."""
    command = ["git", "show", f"HEAD:./{PARAMS}"]
    try:
        shown = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return shown.stdout if shown.returncode == 0 else None


def _keep(content: bytes) -> Path:
    """Put parameters that a person has edited beside, under a name that is free or holds them."""
    for number in count(1):
        path = Path(f"{PARAMS}.previous" + (f"-{number}" if number > 1 else ""))
        if not path.exists():
            files.write_bytes(path, content)
            return path
        if path.is_file() and path.read_bytes() == content:
            return path
    raise AssertionError("there is always one more number")


def _present() -> bytes | None:
    """The bytes of the present `params.yaml`."""
    try:
        return PARAMS.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{PARAMS}: cannot be read: {error.strerror}") from None


def use_profile(name: str) -> str:
    """Make a profile the `params.yaml` of this folder, comments and all.

    Parameters that were edited by hand, so that neither a profile nor git holds them, are kept.

    Args:
        name: A path, or the short name of a file in `profiles/`.

    Returns:
        What was written and kept, and the next command, for a person.

    Raises:
        ParameterError: There is no such profile, or it is not valid; nothing is written then.
        DataError: The folder cannot be written.
    """
    path = _find(name)
    load_params(path)
    content, present = path.read_bytes(), _present()
    kept = ""
    if present is not None and present != content:
        copies = [_committed(), *(one.read_bytes() for one in _known().values())]
        if present not in copies:
            kept = f"\nYour edited {PARAMS} is kept as {_keep(present)}"
    files.write_bytes(PARAMS, content)
    back = "" if path.stem == DEFAULT else f"    Back: pixelproof profile use {DEFAULT}"
    return f"{PARAMS}: now {path}{kept}\nNext: make run (or dvc repro){back}"


def list_profiles() -> str:
    """The short name and the first line of each profile.

    Raises:
        ParameterError: There are none in this folder.
    """
    known = _known()
    if not known:
        raise ParameterError(f"{PROFILES}: no profiles; run from the folder that holds it")
    width = max(map(len, known))
    lines = []
    for name, path in known.items():
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        lines.append(f"{name:{width}}  {first.lstrip('# ')}")
    return "\n".join(lines)
