"""Panel Service: what runs by itself, and what keeps the project tidy."""

import os
from pathlib import Path
from typing import Annotated

import typer

from pixelproof.cli.options import MlflowAuth, Port


def serve(
    notify: Annotated[
        str | None,
        typer.Option(metavar="TYPE/NAME", help="A notification block of Prefect."),
    ] = None,
    prefect_port: Port = 4200,
    mlflow_port: Port = 5000,
    mlflow_auth: MlflowAuth = False,
) -> None:
    """Run servers, schedules and a worker until Ctrl-C."""
    from pixelproof.system.surroundings import check_home, check_repository

    check_repository(Path())
    if not os.environ.get("PREFECT_API_URL"):
        check_home()
    from pixelproof.operations import serve as services

    services.serve(notify, prefect_port, mlflow_port, mlflow_auth)


def sync() -> None:
    """Send the records that wait for the tracking store."""
    from pixelproof.operations.run import send_waiting

    print(send_waiting())


def prune(
    keep: Annotated[int, typer.Option(help="Pipeline runs and commits to keep.")],
) -> None:
    """Delete old runs and cached data."""
    from pixelproof.system.surroundings import check_repository

    check_repository(Path())
    from pixelproof.operations import disk

    print(disk.prune(keep))


def repair() -> None:
    """Find what is damaged, and remove it or put it back."""
    from pixelproof.system.surroundings import check_repository

    check_repository(Path())
    from pixelproof.operations import repair as repairing

    print(repairing.repair(Path()))
