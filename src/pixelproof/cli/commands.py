"""What a person asks for on the command line, beyond the stages."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pixelproof.data.images import (
    UnreadableImageError,
    load_images,
    printable,
    read_image,
    strict_reading,
    to_array,
)
from pixelproof.errors import DataError, IntegrityError, ParameterError, one_line
from pixelproof.params.project import Params
from pixelproof.paths import CHANGES, GATE, IMAGES, METRICS, MODELS
from pixelproof.system import files


def show() -> str:
    """The result: what it belongs to, the table, what it means, and where to look next.

    Raises:
        DataError: The pipeline has not run.
        IntegrityError: What lies in `metrics/` is not what it writes.
    """
    from pixelproof.reporting.provenance import workspace_origin
    from pixelproof.reporting.report import read_results, result_name, result_table
    from pixelproof.reporting.verdict import verdict

    summary, table = read_results(METRICS)
    if not summary.get("models"):
        raise IntegrityError(f"{METRICS}/summary.json: expected what the stage compare writes")
    origin = workspace_origin(summary)
    lines = ["", f"Result {result_name(summary)} of {origin.data}; {origin.made}."]
    if origin.differs:
        lines.append("It is NOT the result of what lies here now; `dvc repro` makes that one:")
        lines += [f"  - {one}" for one in origin.differs]
    lines += ["", result_table(summary, table), "", verdict(summary), *_gate_answer(summary), ""]
    return "\n".join([*lines, *_where_to_look(summary)])


def _where_to_look(summary: Mapping[str, Any]) -> list[str]:
    """The report and the models of a result, as far as they are here; and what to do next."""
    from pixelproof.reporting.advice import next_steps
    from pixelproof.reporting.report import result_name
    from pixelproof.reporting.verdict import judgements

    weights = summary.get("made_from", {}).get("weights", {})
    page = Path("reports/index.html")
    lines, models = [], [name for name in weights if _weights(MODELS / name) == weights[name]]
    if page.is_file() and result_name(summary) in page.read_text(encoding="utf-8"):
        lines.append(f"Report:       {page}    Every figure: {METRICS}/results.csv")
    else:
        other = "is of another result" if page.exists() else "is not here"
        lines.append(f"Every figure: {METRICS}/results.csv    (the report {other}: `dvc repro`)")
    taken = [one.model for one in judgements(summary) if one.answer == "take"]
    if models:
        model = next((one for one in taken if one in models), models[-1])
        lines.append(f"Try a model:  pixelproof predict {MODELS / model} IMAGE…")
    else:
        lines.append("Its models are not here: `make run` or `dvc repro` makes them.")
    steps = next_steps(summary)
    return lines + [f"{'Next:' if one is steps[0] else '':14}{one.command}" for one in steps[:2]]


def _weights(model: Path) -> str | None:
    """The SHA-256 of a model folder's weights; None where there is no such folder."""
    about = model / "classifier.json"
    return str(files.read_json(about)["sha256"]) if about.is_file() else None


def _gate_answer(summary: Mapping[str, Any]) -> list[str]:
    """What the gate said last, if that was of these very weights."""
    path = GATE / "verdict.json"
    if not path.is_file():
        return []
    said = files.read_json(path)
    known = summary.get("made_from", {}).get("weights", {})
    if said.get("weights") not in known.values():
        return []
    return ["", f"The gate, on fresh draws: {said['words']}"]


def _image_files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.is_file())
        else:
            yield path


def predict(model: Path, paths: Sequence[Path]) -> None:
    """Print a line an image: its path, class and probability, with tabs between.

    Raises:
        DataError: The model is missing, or an image could not be read; the others are answered.
    """
    import torch

    from pixelproof.models.classifier import load_classifier

    classifier = load_classifier(model)
    if classifier.side is None:
        raise DataError(f"{model}: expected a model that was trained here: it states no image size")
    unreadable = 0
    for path in _image_files(paths):
        try:
            with strict_reading():
                image = read_image(path).image
        except UnreadableImageError as error:
            unreadable += 1
            print(f"pixelproof: {one_line(str(error))}", file=sys.stderr)
            continue
        array = to_array(image, classifier.side, classifier.fit)
        with torch.inference_mode():
            probability = classifier(torch.from_numpy(array[None])).softmax(dim=1)[0]
        best = int(probability.argmax())
        name, answer = one_line(printable(path)), one_line(classifier.classes[best])
        print(f"{name}\t{answer}\t{probability[best]:.4f}", flush=True)
    if unreadable:
        raise DataError(f"{unreadable} of the images could not be read; see the lines above")


def export(
    params: Params,
    folder: Path,
    *,
    split: str,
    draws: str,
    n: int,
    draw: int,
    limit: int,
) -> None:
    """Write small-distance samples as PNG files, which lose nothing, for people's eyes.

    Beside each stands the unchanged image, resized as the models see it; both are named after
    the original file.

    Args:
        params: Of the project.
        folder: A new folder; gets a subfolder for each class.
        split: `train` or `test`.
        draws: The name of the stored draws: an arm (`train`), or values and area (`test`).
        n: How many of the drawn pixels.
        draw: Which draw.
        limit: How many images.

    Raises:
        DataError: The folder exists, or no such changes are stored.
        ParameterError: n, the draw or the limit is beyond what is stored.
    """
    from PIL import Image

    from pixelproof.core.pixel_changes import apply_changes
    from pixelproof.data.drawn_changes import load_change_set

    if folder.exists():
        raise DataError(f"{folder}: exists; name a new folder")
    images = load_images(IMAGES, "train" if split == "train" else "held_out", params.select)
    changes = load_change_set(CHANGES / split, draws, images)
    most = changes.records.shape[2]
    for key, number, low, high in (
        ("--n", n, 1, most),
        ("--draw", draw, 0, changes.draws - 1),
        ("--images", limit, 1, sys.maxsize),
    ):
        if not low <= number <= high:
            raise ParameterError(f"{key}: expected {low} to {high}, got {number}")
    rows = np.arange(min(limit, len(images.ids)))
    names = _export_names([Path(images.paths[row]) for row in rows])
    with files.atomic(folder) as temporary:
        for row, name in zip(rows, names, strict=True):
            one = slice(row, row + 1)
            unchanged = np.array(images.pixels[one])
            changed = apply_changes(unchanged, changes.take(one, draw, n))
            target = temporary / images.classes[images.labels[row]]
            target.mkdir(parents=True, exist_ok=True)
            for array, kind in ((unchanged, "unchanged"), (changed, f"{draws}-{n}px-draw{draw}")):
                image = Image.fromarray(array[0].transpose(1, 2, 0))
                image.save(target / f"{name}-{kind}.png")
    print(f"{folder}: {len(rows)} images, unchanged and with {n} changed pixels each")


def _export_names(paths: Sequence[Path]) -> list[str]:
    """The names of image files without their endings, as far as those tell them apart."""
    stems = Counter((one.parts[0], one.stem) for one in paths)
    names = []
    for path in paths:
        inner = "-".join(path.parts[1:])
        names.append(path.stem if stems[path.parts[0], path.stem] == 1 else inner)
    return names
