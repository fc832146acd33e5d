"""Panel Model: predictions, and which version is in use."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from pixelproof.system.tuning import keep_memory

By: TypeAlias = Annotated[str | None, typer.Option(help="Who decides it; you by default.")]


def predict(
    model: Annotated[Path, typer.Argument(help="A folder that holds classifier.json.")],
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
) -> None:
    """Classify images with a model folder."""
    from pixelproof.models.predict import predict as classify

    keep_memory()
    classify(model, images)


def gate(
    promote: Annotated[
        bool, typer.Option("--promote", help="Register it; make it champion if it passes.")
    ] = False,
) -> None:
    """Judge the challenger against the champion."""
    from pixelproof.params.project import load_params
    from pixelproof.promotion.contest import run_gate
    from pixelproof.promotion.model_card import rules_table

    keep_memory()
    result = run_gate(load_params(), promote, tell=print)
    print(f"{rules_table(result.verdict)}\n\n{result.words}".strip())


def monitor() -> None:
    """Measure the champion alone on fresh draws."""
    from pixelproof.params.project import load_params
    from pixelproof.promotion.monitoring import measure_champion

    keep_memory()
    result = measure_champion(load_params())
    print(f"{result.outcome}: {result.words}")


def promote(
    why: Annotated[str, typer.Option(help="Kept with the version.")],
    version: Annotated[int | None, typer.Argument(help="The newest by default.")] = None,
    by: By = None,
) -> None:
    """Make a version champion, whatever the gate says."""
    from pixelproof.params.project import load_params
    from pixelproof.promotion.manual import promote_by_hand

    print(promote_by_hand(load_params(), version, by, why))


def rollback(
    why: Annotated[str, typer.Option(help="Kept with the version.")] = "no reason given",
    by: By = None,
) -> None:
    """Make the previous champion champion again."""
    from pixelproof.params.project import load_params
    from pixelproof.promotion.manual import roll_back

    print(roll_back(load_params(), by, why))
