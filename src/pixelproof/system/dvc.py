"""DVC: its command line, its pointers (`data.dvc`) and its lock (`dvc.lock`)."""

import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pixelproof.errors import DataError, IntegrityError
from pixelproof.system import files
from pixelproof.system.processes import bound, environment

LOCK = Path("dvc.lock")
_POINTER_KEYS = {"outs", "md5", "size", "nfiles", "hash", "path"}
Stages = Mapping[str, Mapping[str, Any]]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run DVC in a folder; whether it succeeded is for the caller to see."""
    return subprocess.run(
        bound([sys.executable, "-m", "dvc", *arguments]),
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def reason(failed: subprocess.CompletedProcess[str]) -> str:
    """What DVC says is wrong: its line of error, or the end of a traceback."""
    lines = failed.stderr.strip().splitlines()
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["no reason given"])[-1][:300]


def parse(text: str) -> Any:
    """What a YAML file holds, read as DVC reads it (YAML 1.2); None where it is no YAML."""
    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError):
        return None


def read(path: Path) -> Any:
    """As `parse`, of a file; None where it cannot be read."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def pointer_of(folder: Path) -> Path:
    """The file in which `dvc add` records a folder."""
    return folder.parent / f"{folder.name}.dvc"


def pointer_hash(content: Any) -> str:
    """The hash that the content of a pointer records; empty where it records none."""
    try:
        return str(content["outs"][0]["md5"] or "")
    except (LookupError, TypeError):
        return ""


def recorded_hash(pointer: Path) -> str:
    """The hash of the folder that `dvc add` recorded.

    Raises:
        DataError: There is no pointer, or it is not what DVC writes.
    """
    if not pointer.is_file():
        raise DataError(
            f"{pointer}: missing; run `dvc add {pointer.stem}` after putting images there"
        )
    recorded = pointer_hash(read(pointer))
    if not recorded:
        raise DataError(
            f"{pointer}: expected what `dvc add {pointer.stem}` writes, with outs[0].md5; restore "
            f"it with git, or run `dvc add {pointer.stem}` again"
        )
    return recorded


def check_pointer(text: str, folder: str) -> None:
    """Check that a text is a pointer to a folder, and to nothing else.

    Raises:
        DataError: It is not.
    """
    content = parse(text)
    try:
        (out,) = content["outs"]
        keys = set(content) | set(out)
        path, digest = out["path"], out["md5"]
    except (ValueError, LookupError, TypeError):
        keys, path, digest = set(), None, None
    if path != folder or not isinstance(digest, str) or not keys <= _POINTER_KEYS:
        raise DataError(f"data: expected the text of {folder}.dvc, got {text[:60]!r}")


def stages_of(lock: Any) -> Stages:
    """The stages that the content of a `dvc.lock` records; none where it is damaged."""
    stages = lock.get("stages") if isinstance(lock, dict) else None
    return stages if isinstance(stages, dict) else {}


def stage_names(content: bytes | None) -> list[str]:
    """The names of the stages in the text of a `dvc.lock`; none where there is no text.

    Raises:
        IntegrityError: The text is not what DVC writes.
    """
    return [] if content is None else list(_parse_lock(YAML(typ="safe"), content)["stages"])


def forget_stages(known: Collection[str]) -> list[str]:
    """Remove from `dvc.lock` what another profile or a removed arm has left there.

    DVC itself never removes a stage that is no more. Nothing is lost: what those stages made stays
    in DVC's cache and run cache.

    Args:
        known: The names of all stages that there are. Stages of a person's own stay.

    Returns:
        The names of those that were removed.

    Raises:
        IntegrityError: The file is not what DVC writes.
    """
    if not LOCK.is_file():
        return []
    yaml = YAML()
    yaml.default_flow_style = False  # as DVC writes it
    content = _parse_lock(yaml, LOCK.read_bytes())
    stages = content["stages"]
    gone = [name for name in stages if "@" in name and name not in known]
    for name in gone:
        del stages[name]
    if gone:
        with files.atomic(LOCK) as temporary, temporary.open("w", encoding="utf-8") as file:
            yaml.dump(content, file)
    return gone


def _parse_lock(yaml: YAML, content: bytes) -> Any:
    try:
        parsed = yaml.load(content.decode())
        parsed["stages"]
    except (YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
        problem = str(error).partition("\n")[0]
        raise IntegrityError(
            f"{LOCK}: expected what DVC writes, got {problem}; `git checkout {LOCK}` brings it back"
        ) from None
    return parsed
