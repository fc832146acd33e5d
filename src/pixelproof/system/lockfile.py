"""`dvc.lock`: DVC adds to it what a stage has made, and never removes a stage that is no more."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pixelproof.errors import IntegrityError
from pixelproof.system import files

LOCK = Path("dvc.lock")
ITEMS = ("baseline", "finetune", "attack", "evaluate")  # the stages that have one item a model


def forget_stages(known: Collection[str]) -> list[str]:
    """Remove from `dvc.lock` what another profile or a removed arm has left there.

    Nothing is lost: what those stages made stays in DVC's cache and run cache.

    Args:
        known: The names of all stages that there are. Stages of a person's own stay.

    Returns:
        The names of those that were removed.

    Raises:
        IntegrityError: The file is not YAML.
    """
    if not LOCK.is_file():
        return []
    yaml = YAML()
    yaml.default_flow_style = False  # as DVC writes it
    content = _parse(yaml, LOCK.read_bytes())
    stages = content["stages"]
    gone = [name for name in stages if name.split("@")[0] in ITEMS and name not in known]
    for name in gone:
        del stages[name]
    if gone:
        with files.atomic(LOCK) as temporary, temporary.open("w", encoding="utf-8") as file:
            yaml.dump(content, file)
    return gone


def stages_of(content: bytes | None) -> list[str]:
    """The names of the stages in the text of a `dvc.lock`; none where there is no text."""
    return [] if content is None else list(_parse(YAML(typ="safe"), content)["stages"])


def _parse(yaml: YAML, content: bytes) -> Any:
    try:
        parsed = yaml.load(content.decode())
        parsed["stages"]
    except (YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0]
        raise IntegrityError(
            f"{LOCK}: expected what DVC writes, got {reason}; `git checkout {LOCK}` brings it back"
        ) from None
    return parsed
