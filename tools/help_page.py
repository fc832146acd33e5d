"""Writes down the page of `pixelproof --help`, as typer and rich draw it on a terminal.

    make help-page                          python -m tools.help_page

To draw it takes three times as long as a start of the command line may; to read it takes no time.
"""

import os
import subprocess
import sys

from pixelproof.cli.main import PAGE, PAGE_COLUMNS


def drawn() -> str:
    """The page with its colours, from the commands as they are."""
    command = [sys.executable, "-m", "pixelproof.cli", "--debug", "--help"]
    terminal = {"FORCE_COLOR": "1", "TERM": "xterm", "TERMINAL_WIDTH": str(PAGE_COLUMNS)}
    settings = {"NO_COLOR", "COLORTERM", "COLUMNS"}  # of the person who calls this
    variables = {key: value for key, value in os.environ.items() if key not in settings}
    shown = subprocess.run(command, env=variables | terminal, capture_output=True, check=True)
    return "".join(f"{line.rstrip()}\n" for line in shown.stdout.decode().splitlines())


if __name__ == "__main__":
    PAGE.write_text(drawn(), encoding="utf-8")
