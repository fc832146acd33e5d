"""Panel Run: the pipeline, a single stage, whole experiments to choose from."""

from pathlib import Path
from typing import Annotated

import typer

from pixelproof.cli.stage import STAGES, run_stage

profile = typer.Typer(name="profile", help="Use a whole experiment as params.yaml.")


def run() -> None:
    """Run the pipeline, tracked, and show the result."""
    from pixelproof.system.surroundings import check_repository

    check_repository(Path())
    from pixelproof.operations.run import run_pipeline
    from pixelproof.params.behaviour import check_behaviour, read_record
    from pixelproof.params.project import load_params

    check_behaviour(STAGES, read_record())
    run_pipeline(load_params())


def stage(
    name: Annotated[
        str,
        typer.Argument(help=f"One of {', '.join(STAGES)}.", autocompletion=lambda: list(STAGES)),
    ],
    item: Annotated[str | None, typer.Argument(help="The baseline, arm or model.")] = None,
) -> None:
    """Run one stage: the cmd of dvc.yaml."""
    run_stage(name, item)


def upgrade(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run again, and write nothing.")
    ] = False,
) -> None:
    """Take over the behaviour of a new version."""
    from pixelproof.operations.upgrade import upgrade as renew

    print(renew(dry_run))


@profile.command("list")
def list_all() -> None:
    """List the profiles."""
    from pixelproof.params.profiles import list_profiles

    print(list_profiles())


@profile.command()
def use(
    name: Annotated[str, typer.Argument(metavar="profile", help="A file, or a name of the list.")],
) -> None:
    """Write a profile to params.yaml."""
    from pixelproof.params.profiles import use_profile

    print(use_profile(name))
