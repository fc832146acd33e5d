"""Which behaviour each stage has, so that an upgrade runs again only what it changes.

A project that `pixelproof init` made has no source files that its stages could depend on. Each
depends on a number instead, which the project keeps in `pixelproof.lock`: that of the version that
its results come from.
"""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pixelproof import __version__
from pixelproof.errors import IntegrityError, ParameterError
from pixelproof.system import dvc, files

# Raise a number by hand when the results of the stage change; tests/unit/params/test_behaviour.py
# notices that for the stages whose results are the same on every machine.
BEHAVIOUR: Mapping[str, int] = {
    "select": 1,
    "baseline": 1,
    "generate": 1,
    "finetune": 1,
    "attack": 1,
    "evaluate": 1,
    "compare": 1,
}
RECORD = Path("pixelproof.lock")
_HEADER = """\
# Written by `pixelproof init` and `pixelproof upgrade`; commit it.
# stages: the behaviour that the results come from; DVC runs a stage with a raised number again.
# files: the SHA-256 of each file as it was written; an upgrade renews those that nobody edited.
"""


@dataclass(frozen=True)
class Record:
    """What a project knows of the version of pixelproof that it is run with.

    Attributes:
        version: Of the package that wrote it.
        stages: The number of each stage's behaviour.
        files: The SHA-256 of each file that the package wrote, by its path in the project; one that
            still has it was not edited, and an upgrade renews it.
    """

    version: str
    stages: Mapping[str, int]
    files: Mapping[str, str]


def read_record(root: Path = Path()) -> Record | None:
    """The record of a project; None in a clone of pixelproof's repository, which has none.

    Raises:
        IntegrityError: The file is not what pixelproof writes.
    """
    path = root / RECORD
    if not path.is_file():
        return None
    content = dvc.read(path)
    if not _is_record(content):
        raise IntegrityError(
            f"{path}: expected what `pixelproof init` writes, with version, stages and files; "
            f"`git checkout {path}` brings it back"
        )
    return Record(**content)


def write_record(record: Record, root: Path = Path()) -> None:
    """Write the record of a project."""
    yaml, buffer = YAML(), io.StringIO()
    yaml.dump(
        {"version": record.version, "stages": dict(record.stages), "files": dict(record.files)},
        buffer,
    )
    files.write_text(root / RECORD, _HEADER + buffer.getvalue())


def check_behaviour(stages: Iterable[str], record: Record | None) -> None:
    """Check that stages would compute what the record says, before they run.

    Raises:
        ParameterError: They would not, since the record is of an older or a newer version.
    """
    if record is None:
        return
    for name in stages:
        kept, here = record.stages.get(name, 0), BEHAVIOUR[name]
        if kept > here:
            raise newer(record, name)
        if kept < here:
            raise ParameterError(
                f"{RECORD}: expected behaviour {here} of {name} for pixelproof {__version__}, got "
                f"{kept} of {record.version}; `pixelproof upgrade --dry-run` says what an upgrade "
                "runs again"
            )


def newer(record: Record, name: str) -> ParameterError:
    """The error that says that a newer version made the project."""
    return ParameterError(
        f"{RECORD}: made by the newer pixelproof {record.version} ({name}: expected behaviour "
        f"{BEHAVIOUR.get(name, 0)} or less, got {record.stages[name]}), this is {__version__}; "
        "install that version"
    )


def _is_record(content: Any) -> bool:
    kinds = {"version": str, "stages": dict, "files": dict}
    return (
        isinstance(content, dict)
        and content.keys() == kinds.keys()
        and all(isinstance(content[key], kind) for key, kind in kinds.items())
        and all(type(number) is int for number in content["stages"].values())
    )
