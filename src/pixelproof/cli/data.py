"""Panel Data: the images, and the changed ones to look at."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def init(
    folder: Annotated[Path, typer.Argument(help="In a git repository.")] = Path(),
) -> None:
    """Make a project in your own git repository."""
    from pixelproof.operations.new_project import start_project

    print(start_project(folder))


def data() -> None:
    """Provide the images that data.dvc names, and verify them."""
    from pixelproof.system.surroundings import check_repository

    check_repository(Path())
    from pixelproof.data.demo import provide_data

    print(provide_data(Path()))


def fetch(
    name: Annotated[Literal["elpv", "imagenet-sample"], typer.Argument(help="The data set.")],
    folder: Annotated[
        Path | None, typer.Argument(help="By default data, or data-imagenet-sample.")
    ] = None,
) -> None:
    """Write a demo data set into a folder."""
    from pixelproof.data import demo

    chosen = demo.DEMO_SETS[name]
    print(demo.fetch(chosen, folder or Path(chosen.folder)))


def announce_data() -> None:
    """Start a hardening on the images that data.dvc names."""
    from pixelproof.system.surroundings import check_repository

    check_repository(Path())
    from pixelproof.operations.announce import announce
    from pixelproof.params.project import load_params

    print(announce(load_params().select.data))


def export(
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    split: Annotated[
        Literal["train", "test"], typer.Option("--set", help="For training, or for tests.")
    ] = "test",
    draws: Annotated[str, typer.Option(help="The name of the stored draws.")] = "stuck",
    n: Annotated[int, typer.Option("--n", help="How many of the drawn pixels.")] = 64,
    draw: Annotated[int, typer.Option(help="Which draw, from 0.")] = 0,
    images: Annotated[int, typer.Option(help="How many images.")] = 20,
) -> None:
    """Write changed images as PNG, to look at."""
    from pixelproof.data.export import export as write
    from pixelproof.params.project import load_params

    write(load_params(), folder, split=split, draws=draws, n=n, draw=draw, limit=images)
