"""The result on the terminal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pixelproof.errors import IntegrityError
from pixelproof.paths import GATE, METRICS, MODELS
from pixelproof.reporting.advice import next_steps
from pixelproof.reporting.provenance import workspace_origin
from pixelproof.reporting.text import read_results, result_name, result_table
from pixelproof.reporting.verdict import judgements, verdict
from pixelproof.system import files


def show() -> str:
    """The result: where it comes from, the table, what it means, and where to look next.

    Raises:
        DataError: The pipeline has not run.
        IntegrityError: What lies in `metrics/` is not what it writes.
    """
    summary, table = read_results(METRICS)
    if not summary.get("models"):
        path = METRICS / "summary.json"
        words = "expected what the stage compare writes"
        raise IntegrityError(f"{path}: {words}; {files.remedy(path)}")
    origin = workspace_origin(summary)
    lines = ["", f"Result {result_name(summary)} of {origin.data}; {origin.made}."]
    if origin.differs:
        lines.append("It is NOT the result of what lies here now; `dvc repro` makes that one:")
        lines += [f"  - {difference}" for difference in origin.differs]
    lines += ["", result_table(summary, table), "", verdict(summary), *_gate_answer(summary), ""]
    return "\n".join([*lines, *_where_to_look(summary)])


def _where_to_look(summary: Mapping[str, Any]) -> list[str]:
    """The paths of the report and the models, as far as they are here, and the next steps."""
    weights = summary.get("made_from", {}).get("weights", {})
    page = Path("reports/index.html")
    lines, models = [], [name for name in weights if _weights(MODELS / name) == weights[name]]
    if page.is_file() and result_name(summary) in page.read_text(encoding="utf-8"):
        lines.append(f"Report:       {page}    Every figure: {METRICS}/results.csv")
    else:
        other = "is of another result" if page.exists() else "is not here"
        lines.append(f"Every figure: {METRICS}/results.csv    (the report {other}: `dvc repro`)")
    taken = [judgement.model for judgement in judgements(summary) if judgement.answer == "take"]
    if models:
        model = next((name for name in taken if name in models), models[-1])
        lines.append(f"Try a model:  pixelproof predict {MODELS / model} IMAGE…")
    else:
        lines.append("Its models are not here: `pixelproof run` or `dvc repro` makes them.")
    steps = next_steps(summary)
    return lines + [f"{'Next:' if step is steps[0] else '':14}{step.command}" for step in steps[:2]]


def _weights(model: Path) -> str | None:
    """The SHA-256 of a model folder's weights; None where there is no such folder."""
    about = model / "classifier.json"
    return str(files.read_json(about)["sha256"]) if about.is_file() else None


def _gate_answer(summary: Mapping[str, Any]) -> list[str]:
    """The last verdict of the gate, if it was about these weights."""
    path = GATE / "verdict.json"
    if not path.is_file():
        return []
    said = files.read_json(path)
    known = summary.get("made_from", {}).get("weights", {})
    if said.get("weights") not in known.values():
        return []
    return ["", f"The gate, on fresh draws: {said['words']}"]
