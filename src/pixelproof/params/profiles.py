"""Experiments to choose from: the files in `profiles/`, one of which becomes `params.yaml`."""

import os
import re
from itertools import count
from pathlib import Path

from pixelproof.errors import DataError, ParameterError
from pixelproof.params.project import load_params
from pixelproof.params.validation import nearest
from pixelproof.paths import PARAMS
from pixelproof.system import files, git
from pixelproof.system.dvc import LOCK, forget_stages, stage_names

PROFILES = Path("profiles")
DEFAULT = "elpv"
_NONE_HERE = f"no profiles in {PROFILES}; run in a clone of pixelproof's repository, which has them"
_SCHEMA = re.compile(r"# yaml-language-server: \$schema=(?!\w+://)(\S+)")  # what editors go by


def _known() -> dict[str, Path]:
    """The profiles by their short names."""
    return {path.stem: path for path in sorted(PROFILES.glob("*.yaml"))}


def _find(name: str) -> Path:
    known = _known()
    if name in known:
        return known[name]
    if not Path(name).is_file():
        if not known:
            raise ParameterError(f"profile: expected a file, got {name!r}; {_NONE_HERE}")
        raise ParameterError(
            f"profile: expected a file or one of {list(known)}, got {name!r}{nearest(name, known)}"
        )
    return Path(name)


def as_params(profile: Path, target: Path) -> bytes:
    """The content of a profile as that of another file.

    It is the same up to the schema, which the first line may name relative to the file.

    Args:
        profile: The file to read.
        target: The file to be written.
    """
    first, newline, rest = profile.read_bytes().partition(b"\n")
    named = _SCHEMA.fullmatch(os.fsdecode(first).rstrip())
    if named:
        schema = os.path.relpath(profile.parent / named[1], target.parent)
        first = os.fsencode(named[0].replace(named[1], schema))
    return first + newline + rest


def _held_elsewhere(content: bytes) -> bool:
    """Whether a profile or git's HEAD holds these parameters, so that nothing is lost."""
    return content == git.committed(PARAMS) or content in [
        as_params(profile, PARAMS) for profile in _known().values()
    ]


def _write(path: Path, content: bytes) -> None:
    with files.atomic(path) as temporary:
        temporary.write_bytes(content)


def _keep(content: bytes) -> Path:
    """Save edited parameters under a free name; the same content is saved only once."""
    names = (PARAMS.with_stem(f"{PARAMS.stem}.kept-{number}") for number in count(1))
    path = next(name for name in names if not name.exists() or name.read_bytes() == content)
    if not path.exists():
        _write(path, content)
    return path


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
    path, known = _find(name), _known()
    params = load_params(path)
    content, present = as_params(path, PARAMS), _present()
    kept = ""
    if present not in (None, content) and not _held_elsewhere(present):
        kept = f"; what you had edited is in {_keep(present)}"
    _write(PARAMS, content)
    # The committed stages stay where they are, so that the way back ends in the committed file.
    forget_stages([*params.stages, *stage_names(git.committed(LOCK))])
    back = "" if path == known.get(DEFAULT) else f"; back: pixelproof profile use {DEFAULT}"
    return f"{PARAMS}: now {path}{kept}\nNext: make run, or dvc repro{back}"


def list_profiles() -> str:
    """The short name of each profile and the first line that is about it.

    Raises:
        ParameterError: There are none in this folder.
    """
    known = _known()
    if not known:
        raise ParameterError(_NONE_HERE)
    width = max(map(len, known))
    lines = []
    for name, path in known.items():
        first, second, *_ = [*path.read_text(encoding="utf-8").splitlines(), "", ""]
        about = second if _SCHEMA.match(first) else first
        lines.append(f"{name:{width}}  {about.lstrip('# ')}")
    return "\n".join(lines)
