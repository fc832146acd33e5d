"""Panel Results: the result table, two results side by side, the page of the runs."""

from pathlib import Path
from typing import Annotated

import typer

from pixelproof.cli.options import MlflowAuth, Port


def show() -> None:
    """Print the result table and what it means."""
    from pixelproof.reporting.show import show as text

    print(text())


def diff(
    first: Annotated[
        str, typer.Argument(metavar="A", help="A git revision, or the id of an MLflow run.")
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
) -> None:
    """Compare two runs, or two git revisions."""
    from pixelproof.tracking.history import compare_results

    print(compare_results(first, second))


def choose(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="TRY", help="DVC experiments; by default all of this commit's."),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the table there, too.")] = None,
) -> None:
    """Choose between recipes, by their tries."""
    from pixelproof.operations.tries import choose_recipe

    print(choose_recipe(names or [], csv))


def ui(
    port: Port = 5000,
    mlflow_auth: MlflowAuth = False,
) -> None:
    """Serve the MLflow page of the runs."""
    from pixelproof.operations.mlflow_page import open_page

    open_page(port, mlflow_auth)
