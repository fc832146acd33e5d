"""A version of a registered model, and the tags that say what is known of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
