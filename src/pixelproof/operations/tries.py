"""The tries of a search: DVC's experiments, as git keeps them."""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pixelproof.errors import DataError, ParameterError
from pixelproof.paths import METRICS, PARAMS
from pixelproof.reporting.choice import Try, choose, in_short, rows
from pixelproof.reporting.text import align
from pixelproof.system import dvc, files, git

REF = re.compile(r"refs/exps/([0-9a-f]{2})/([0-9a-f]{38,})/([^/]+)")  # DVC's, of an experiment


def choose_recipe(names: Sequence[str], table: Path | None = None) -> str:
    """Choose between recipes.

    Args:
        names: Of DVC experiments; without any, all that were made from the commit checked out.
        table: Where to write the tries as CSV; None: nowhere.

    Returns:
        The tries as a table, and what was chosen.

    Raises:
        DataError: There are no such tries, or they cannot be compared.
        ParameterError: A name is no experiment's, or several have it.
    """
    tries = [_read(name, ref) for name, ref in _find(names)]
    chosen = choose(tries)
    lines = rows(tries, chosen)
    if table is not None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        files.write_text(table, text.getvalue())
    fewest = min(one.summary["common_images"] for one in tries)
    share = tries[0].summary["validation"]
    said = [
        f"Measured on {fewest} and more images, {100 * share:g} % of the training images; the "
        "held-out ones are spared.",
        "",
        align(lines),
        "",
    ]
    if chosen is None:
        said.append("None is chosen: something rules out each of them.")
    else:
        said.append(f"Chosen, for finetune.arms in {PARAMS}: {in_short(chosen.recipe)}")
        said.append("Set select.validation to null, and `dvc repro` measures it once.")
    return "\n".join(said)


def _find(names: Sequence[str]) -> list[tuple[str, str]]:
    """Names and references of experiments, sorted by name."""
    listed = git.query("for-each-ref", "--format=%(refname)", "refs/exps").split()
    found = [match for ref in listed if (match := REF.fullmatch(ref))]
    head = git.head()
    if not names:
        here = [(match[3], match[0]) for match in found if match[1] + match[2] == head]
        if not here:
            raise DataError(
                "expected experiments that were made from this commit, got none; "
                "`dvc exp run --queue` makes them, and `dvc exp list --all` names those of others"
            )
        return sorted(here)
    chosen = []
    for name in names:
        refs = [match[0] for match in found if match[3] == name]
        if len(refs) != 1:
            raise ParameterError(
                f"{name}: expected the name of one experiment, got {len(refs)} of that name; "
                "`dvc exp list --all` names them"
            )
        chosen.append((name, refs[0]))
    return chosen


def _read(name: str, ref: str) -> Try:
    summary = _json(name, git.query("show", f"{ref}:./{METRICS}/summary.json"))
    params = dvc.parse(git.query("show", f"{ref}:./{PARAMS}"))
    try:
        arm = str(params["gate"]["challenger"])
        recipe: Mapping[str, Any] = params["finetune"]["arms"][arm]
        return Try(name, arm, dict(recipe), summary)
    except (LookupError, TypeError) as error:
        raise DataError(f"{name}: expected gate.challenger to name an arm, got none") from error


def _json(name: str, text: str) -> Mapping[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict) or not content.get("models"):
        raise DataError(f"{name}: expected figures of a run in {METRICS}/summary.json, got none")
    return content
