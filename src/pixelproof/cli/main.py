"""The entry point, and the ways in which a command ends.

Stages and the page of all commands do without the parser: its libraries take longer to import
than all else that a start needs.
"""

import os
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from pixelproof.cli.stage import run_stage
from pixelproof.errors import DataError, PixelproofError, one_line
from pixelproof.system.tuning import limit_spinning

PAGE = Path(__file__).with_name("help.ansi")  # `make help-page` draws it
PAGE_COLUMNS = 80
COMPLETION = "_PIXELPROOF_COMPLETE"  # set by a shell that asks what could come next


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _unexpected(error: Exception) -> str:
    """An error without words of its own, in one line."""
    where = "`pixelproof --debug …` shows where"
    if isinstance(error, OSError) and error.filename:
        return one_line(f"{error.filename}: {error.strerror}; {where}")
    reason = (str(error).strip().splitlines() or ["no reason given"])[0][:300]
    return one_line(f"{type(error).__name__}: {reason}; {where}")


def _page() -> str | None:
    """The page of all commands as it was written down; None where the terminal wants another."""
    if sys.stdout.encoding.lower() != "utf-8":
        return None
    page = PAGE.read_text(encoding="utf-8")
    if not sys.stdout.isatty():
        return re.sub(r"\x1b\[[\d;]*m", "", page)  # without colours
    narrow = os.get_terminal_size(sys.stdout.fileno()).columns < PAGE_COLUMNS
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") in (None, "dumb", "unknown")
    return None if narrow or plain else page


def _start(words: Sequence[str]) -> int:
    if os.environ.get(COMPLETION):
        from pixelproof.cli.app import complete

        complete()
    match words:
        case ["--help"] if page := _page():
            print(page, end="")
            return 0
        case ["stage", name, *item] if len(item) < 2 and "-" not in {word[:1] for word in words}:
            run_stage(name, *item)
            return 0
    from pixelproof.cli.app import run_command

    return run_command(words)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; an error ends in one line on standard error.

    Args:
        argv: The arguments; those of the process by default.

    Returns:
        The exit code: 0; that of the error (see `pixelproof.errors`); 130 or 143 on a signal.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    debug = words[:1] == ["--debug"]
    limit_spinning()
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = _start(words)
        sys.stdout.flush()
    except PixelproofError as error:
        if debug:
            traceback.print_exc()
        print(f"pixelproof: {one_line(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("pixelproof: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:  # an error that nobody has thought of
        if debug:
            traceback.print_exc()
        print(f"pixelproof: {_unexpected(error)}", file=sys.stderr)
        return DataError.exit_code if isinstance(error, OSError) else PixelproofError.exit_code
    return code
