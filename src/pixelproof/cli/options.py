"""Options that several commands have."""

from typing import Annotated, TypeAlias

import typer

# The ports after the first are tried, too.
Port: TypeAlias = Annotated[int, typer.Option(min=1, max=65485, help="The first port to try.")]
MlflowAuth: TypeAlias = Annotated[
    bool, typer.Option("--mlflow-auth", help="Have the MLflow server ask for a password.")
]
