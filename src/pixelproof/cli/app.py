"""All commands, by the panel of the help page that they stand in."""

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from pixelproof import __version__
from pixelproof.cli import data, model, results, run, score, service
from pixelproof.errors import ParameterError

NAME = "pixelproof"
PANELS: dict[str, Sequence[Callable[..., None] | typer.Typer]] = {
    "Run": (run.run, run.stage, run.upgrade, run.profile),
    "Data": (data.init, data.data, data.fetch, data.announce_data, data.export),
    "Results": (results.show, results.diff, results.choose, results.ui),
    "Model": (score.score, model.predict, model.gate, model.monitor, model.promote, model.rollback),
    "Service": (service.serve, service.sync, service.prune, service.repair),
}
EPILOG = """The usual commands:
pixelproof profile list    which experiments there are
pixelproof run             run the one of params.yaml, and show the result
pixelproof show            show it again"""

app = typer.Typer(name=NAME, epilog=EPILOG, rich_markup_mode="rich")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"{NAME} {__version__}")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Measure how a classifier bears a few changed pixels, and harden it."""


def _register() -> None:
    for panel, commands in PANELS.items():
        for command in commands:
            if isinstance(command, typer.Typer):
                app.add_typer(command, rich_help_panel=panel)
            else:
                app.command(rich_help_panel=panel)(command)


_register()


def complete() -> None:
    """Answer a shell that asks what could come next, and exit."""
    typer.main.get_command(app).main(prog_name=NAME)


def run_command(words: Sequence[str]) -> int:
    """Parse the words of a command line and run the command.

    Returns:
        The exit code of a command that ended early, as after `--help`; else 0.

    Raises:
        ParameterError: There is no such command or option, or a value is not allowed.
    """
    command = typer.main.get_command(app)
    try:
        # `command.main` would turn a broken pipe and Ctrl-C into exit codes of its own.
        with command.make_context(NAME, list(words)) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    except typer.TyperException as error:
        raise ParameterError(_usage(error)) from error
    return 0


def _usage(error: typer.TyperException) -> str:
    """What is wrong with a command line, in one line."""
    message = " ".join(error.format_message().split()).replace("Value error, ", "")
    message = message[:1].lower() + message[1:]
    if message.endswith("?") or getattr(error, "possibilities", None):  # it suggests something
        return message
    context = getattr(error, "ctx", None)
    return f"{message.rstrip('.')}; see `{context.command_path if context else NAME} --help`"
