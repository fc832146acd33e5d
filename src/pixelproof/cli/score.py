"""Panel Model: any model scored on any images."""

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, TypeAlias

import typer

from pixelproof.errors import ParameterError
from pixelproof.system.tuning import keep_memory

if TYPE_CHECKING:
    from pixelproof.scoring.plan import Plan
    from pixelproof.scoring.result import Score
    from pixelproof.scoring.target import TargetOptions

MODEL = (
    "efficientnet_lite0, torchvision:NAME, a model folder, FILE.onnx, a file of TorchScript or "
    "torch.export, package.module:function, models:/NAME@ALIAS, runs:/ID/PATH or "
    "http(s)://…/invocations."
)
IMAGES = "A folder by class, a CSV of path and label, artifacts/images, or images without labels."

Model: TypeAlias = Annotated[str, typer.Argument(metavar="TARGET", help=MODEL)]
Images: TypeAlias = Annotated[Path, typer.Argument(metavar="IMAGES", help=IMAGES)]
Counts: TypeAlias = Annotated[str, typer.Option("--n", help="Numbers of pixels, with commas.")]
Values: TypeAlias = Annotated[str, typer.Option(help="stuck, full or offset:D.")]
Area: TypeAlias = Annotated[
    int | None, typer.Option(help="Side of the centred square; by default the whole image.")
]
Draws: TypeAlias = Annotated[int, typer.Option(help="Random draws an image, at each n.")]
Seed: TypeAlias = Annotated[int, typer.Option(help="Of the draws.")]
Until: TypeAlias = Annotated[
    str | None, typer.Option(help="Stop at this relative half-width of the interval, as 10%.")
]
Worst: TypeAlias = Annotated[
    int, typer.Option(help="Queries an image and n for the worst pixels; 0: random ones alone.")
]
Queries: TypeAlias = Annotated[
    int, typer.Option(help="The most images to ask for; one is asked for in any case.")
]
Seconds: TypeAlias = Annotated[float | None, typer.Option(help="The most seconds.")]
Dry: TypeAlias = Annotated[bool, typer.Option("--dry-run", help="Say what it would cost.")]
Side: TypeAlias = Annotated[int | None, typer.Option(help="Side of the images; by the model.")]
FitTo: TypeAlias = Annotated[
    Literal["stretch", "crop", "imagenet"] | None,
    typer.Option(help="How an image becomes a square; by the model."),
]
Mean: TypeAlias = Annotated[
    str | None, typer.Option(help="Of images in [0, 1]: one number, or three with commas.")
]
Std: TypeAlias = Annotated[str | None, typer.Option(help="As --mean.")]
Axes: TypeAlias = Annotated[
    Literal["nchw", "nhwc"] | None, typer.Option(help="Order of the axes; by the model.")
]
Classes: TypeAlias = Annotated[
    str | None,
    typer.Option(help="In the model's order: imagenet, a file, or names with commas."),
]
Batch: TypeAlias = Annotated[int, typer.Option(help="The most images at once.")]
Device: TypeAlias = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Trust: TypeAlias = Annotated[bool, typer.Option("--trust", help="Load files that can run code.")]
Json: TypeAlias = Annotated[Path | None, typer.Option(help="Write everything there.")]
Csv: TypeAlias = Annotated[Path | None, typer.Option(help="Write the rows there.")]
Html: TypeAlias = Annotated[Path | None, typer.Option(help="Write a page with the flips there.")]
Mlflow: TypeAlias = Annotated[bool, typer.Option("--mlflow", help="Log it as a run of MLflow.")]
FailAbove: TypeAlias = Annotated[
    float | None,
    typer.Option(metavar="PI", help="Exit with 1 if a Pi is above it or unknown."),
]
Timeout: TypeAlias = Annotated[float, typer.Option(min=0.001, help="Seconds a server may take.")]
Concurrency: TypeAlias = Annotated[int, typer.Option(min=1, help="Requests at once.")]
Rate: TypeAlias = Annotated[
    float | None, typer.Option(min=0.001, help="The most requests a second.")
]
RequestImages: TypeAlias = Annotated[int, typer.Option(min=1, help="Images a request.")]
Ledger: TypeAlias = Annotated[
    Path | None, typer.Option(help="Keep a server's answers there; by default until it is done.")
]


class Written(NamedTuple):
    """What becomes of the answer beside the terminal."""

    json: Path | None
    csv: Path | None
    html: Path | None
    mlflow: bool

    @property
    def paths(self) -> list[Path]:
        """What is written."""
        return [path for path in (self.json, self.csv, self.html) if path]

    @property
    def files(self) -> list[Path]:
        """Those of them that are made or replaced as a whole."""
        return [path for path in self.paths if not _is_stdout(path) and not _is_kept(path)]

    def say(self, words: str) -> None:
        """Print words for a person: on standard error where standard output has a file's text."""
        print(words, file=sys.stderr if any(map(_is_stdout, self.paths)) else sys.stdout)


def score(
    target: Model,
    images: Images,
    n: Counts = "4,16,64,256",
    values: Values = "stuck",
    area: Area = None,
    draws: Draws = 8,
    seed: Seed = 0,
    until: Until = None,
    worst: Worst = 0,
    max_queries: Queries = 100_000,
    max_seconds: Seconds = None,
    dry_run: Dry = False,
    side: Side = None,
    fit: FitTo = None,
    mean: Mean = None,
    std: Std = None,
    layout: Axes = None,
    classes: Classes = None,
    batch_size: Batch = 64,
    device: Device = "auto",
    trust: Trust = False,
    json: Json = None,
    csv: Csv = None,
    html: Html = None,
    mlflow: Mlflow = False,
    fail_above: FailAbove = None,
    timeout: Timeout = 30.0,
    concurrency: Concurrency = 4,
    rate: Rate = None,
    request_images: RequestImages = 8,
    ledger: Ledger = None,
) -> None:
    """Count how often any model errs when a few pixels change."""
    from pixelproof.scoring.plan import Plan
    from pixelproof.scoring.target import Preprocessing, Remote, TargetOptions

    width, counts, most = _share(until), _counts(n), _limit(fail_above)
    limits = (batch_size, width, worst, max_queries, max_seconds)
    plan = Plan(counts, values, area, draws, seed, *limits)
    shape = Preprocessing(side, fit, _numbers(mean, "mean"), _numbers(std, "std"), layout)
    remote = Remote(timeout, concurrency, rate, request_images, ledger)
    options = TargetOptions(shape, _classes(classes), device, trust, remote)
    if dry_run:
        _say_cost(images, plan)
    else:
        written = Written(json, csv, html, mlflow)
        _check_pi(_score(target, images, plan, options, written), most, counts, written)


def _limit(most: float | None) -> float | None:
    if most is not None and not most >= 0:  # NaN is above nothing
        raise ParameterError(f"--fail-above: expected a number from 0, got {most:g}")
    return most


def _check_pi(
    result: "Score", most: float | None, counts: tuple[int, ...], written: Written
) -> None:
    """End with 1 where a Pi is above the limit, or the run was cut short."""
    if most is None:
        return
    drawn = {row.n for row in result.rows if not row.worst}
    failed = [f"{row.pi.value:.2f} at n = {row.n}" for row in result.above(most) if row.pi]
    failed += [f"unknown at n = {n}" for n in counts if n not in drawn]
    if result.ended:
        failed.append(f"not done, as {result.ended}")
    if failed:
        written.say(f"\nPi is to be at most {most:g}: {', '.join(failed)}")
        raise typer.Exit(1)


def _score(
    target: str, images: Path, plan: "Plan", options: "TargetOptions", written: Written
) -> "Score":
    """Score, print, and write what was asked for."""
    from pixelproof.scoring.pictures import pictures_for
    from pixelproof.scoring.score import score_target
    from pixelproof.scoring.targets import find_target
    from pixelproof.scoring.terminal import text
    from pixelproof.system import files
    from pixelproof.tracking.scored import log_score, model_target

    keep_memory()
    files.ensure_writable(*written.files)
    model = find_target(target, options, {"models:": model_target, "runs:": model_target})
    pictures = pictures_for(model, images)
    result = score_target(model, pictures, plan)
    written.say(text(result, sys.stdout.isatty(), shutil.get_terminal_size((100, 24)).columns))
    if written.json:
        _write(written.json, files.json_text(result.as_json()) + "\n")
    if written.csv:
        _write(written.csv, result.as_csv())
    if written.html:
        from pixelproof.scoring.page import page

        _write(written.html, page(result, pictures))
    if written.mlflow:
        written.say(f"Logged to MLflow: {log_score(result, written.files)}")
    return result


def _write(path: Path, text: str) -> None:
    """Write a file, whole or not at all; a device, a pipe and a link stay what they are."""
    from pixelproof.system import files

    if _is_stdout(path):  # opened anew, a file that it leads to would lose what it has
        sys.stdout.write(text)
    elif _is_kept(path):
        path.write_text(text, encoding="utf-8")
    else:
        files.write_text(path, text)


def _is_stdout(path: Path) -> bool:
    """Whether a path is another name of standard output, as /dev/stdout."""
    try:
        return os.path.samestat(path.stat(), os.fstat(1))
    except OSError:  # there is no such file, or no standard output
        return False


def _is_kept(path: Path) -> bool:
    """Whether a path is there and a file is not to take its place."""
    return path.is_symlink() or (path.exists() and not path.is_file() and not path.is_dir())


def _say_cost(images: Path, plan: "Plan") -> None:
    """What a run would ask for, without the model."""
    from pixelproof.scoring.pictures import find_pictures
    from pixelproof.scoring.plan import SEARCHED, repeated

    pictures = find_pictures(images, None, None, "stretch")
    count, most = len(pictures), plan.max_queries
    again = repeated(min(count, plan.batch_size))
    if plan.until is not None:
        words = (
            f"{plan.cost(count):,} queries of unchanged images, {again} of them twice, then as "
            "many as it takes"
        )
    else:
        words = (
            f"at most {plan.cost(count):,} queries: {count:,} images, {again} of them twice, "
            f"{plan.draws} draws at each of {len(plan.n)} numbers of pixels"
        )
    if plan.worst:
        words += (
            f"; then a search with about {plan.worst} queries for each of {SEARCHED} images and n"
        )
    limit = "" if most is None else f"; the limit is {most:,} queries"
    print(f"{words}{limit}")


def _counts(text: str) -> tuple[int, ...]:
    """Whole numbers with commas between them."""
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise ParameterError(f"--n: expected whole numbers with commas, got {text!r}") from None


def _numbers(text: str | None, name: str) -> tuple[float, ...] | None:
    """Numbers with commas between them."""
    if text is None:
        return None
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise ParameterError(f"--{name}: expected numbers with commas, got {text!r}") from None


def _classes(text: str | None) -> tuple[str, ...] | None:
    """`imagenet`, a file with a name a line, or names with commas between them."""
    if text is None:
        return None
    if text == "imagenet":
        from pixelproof.data.imagenet import imagenet_classes

        return imagenet_classes()
    try:
        lines = Path(text).read_text(encoding="utf-8").splitlines()
    except OSError:  # no file, or too long for the name of one
        return tuple(word.strip() for word in text.split(","))
    return tuple(line for line in lines if line)


def _share(text: str | None) -> float | None:
    """`10%` or `0.1`."""
    if text is None:
        return None
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise ParameterError(f"--until: expected 10% or 0.1, got {text!r}") from None
