"""A version of a registered model, and the tags that say what is known of it."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pixelproof.errors import DataError, IntegrityError

CHAMPION, PREVIOUS = "champion", "previous"
WEIGHTS = "pixelproof.sha256"  # identifies a version
MODEL = "pixelproof.model"  # the id of the logged model
JUDGED = "pixelproof.judged"  # against whom, on what: see `contest`
OUTCOME = "verdict"
REASONS = "verdict.reasons"
CONTENT = "verdict.json"
FROM = "promoted.from"  # the number of the version to go back to
BACK = "rolled.back.from"  # the champion that was left for this one; empty once it is promoted
REFUSED = "rolled.back"  # or replaced by a person: the gate promotes it no more
ANOTHER = "promote another version with `pixelproof promote NUMBER --why …`"
_FORMS = {  # of the tags that become parts of paths
    WEIGHTS: re.compile(r"[0-9a-f]{64}"),
    MODEL: re.compile(r"[A-Za-z0-9_-]+"),
}


@dataclass(frozen=True)
class Version:
    """A registered model.

    Attributes:
        number: From 1.
        weights: The SHA-256 of its weights.
        tags: What is known of it.
        run: The id of the run that made it.
        model: The id of the logged model.
    """

    number: int
    weights: str
    tags: Mapping[str, str]
    run: str
    model: str

    @property
    def verdict(self) -> dict[str, Any]:
        """What the gate said of it; empty where it has not been judged."""
        content: dict[str, Any] = json.loads(self.tags.get(CONTENT, "{}"))
        return content


def check_origin(version: Version, which: str) -> None:
    """Check that pixelproof registered a version, and that its tags can be parts of paths.

    Args:
        version: Any.
        which: What errors call it.

    Raises:
        DataError: The version holds no classifier of pixelproof.
        IntegrityError: A tag is not as it was written.
    """
    if not (version.weights and version.model):
        raise DataError(
            f"{which}: expected a model that pixelproof registered, got one of another origin; "
            f"{ANOTHER}"
        )
    for tag, form in _FORMS.items():
        if not form.fullmatch(version.tags[tag]):
            raise IntegrityError(
                f"{which}: expected its tag {tag} as pixelproof writes it ({form.pattern}), "
                f"got {version.tags[tag]!r}; {ANOTHER}"
            )


def began_with(champion: Version, versions: Sequence[Version]) -> Version:
    """The champion with which the row of the gate's own promotions began.

    That is the first champion of all, or the last one that a person has promoted: what it had must
    not wear down, by however many promotions.

    Args:
        champion: The version in use.
        versions: All of them.
    """
    by_number = {str(version.number): version for version in versions}
    row = [champion]
    while row[-1].tags.get(OUTCOME) == "PASSED" and "override.by" not in row[-1].tags:
        before = by_number.get(row[-1].tags.get(FROM, ""))
        if before is None or before in row:
            break
        row.append(before)
    return row[-1]
