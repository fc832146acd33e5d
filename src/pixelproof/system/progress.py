"""Progress of long work: a bar on a terminal, a plain line now and then elsewhere."""

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

PLAIN_SECONDS = 30.0


@contextmanager
def progress(total: int, label: str, unit: str = "images") -> Iterator[Callable[[int], object]]:
    """Show how far a piece of work is, at which rate, and how long it will still take.

    On a terminal this is a bar on standard error; elsewhere a line at the end, and one every
    half minute before, so that a log stays readable.

    Args:
        total: The amount of the whole work.
        label: What is being done.
        unit: What is counted.

    Yields:
        A function to call with the amount done since its last call.
    """
    if sys.stderr.isatty():
        columns, lines = shutil.get_terminal_size()  # 80 by 24 where the terminal does not say
        with tqdm(total=total, desc=label, unit=f" {unit}", ncols=columns, nrows=lines) as bar:
            yield bar.update
        return
    start = last = time.monotonic()
    done = 0

    def line() -> None:
        rate = done / max(time.monotonic() - start, 1e-9)
        left = f", {(total - done) / rate:.0f} s left" if 0 < done < total else ""
        say(f"{label}: {done}/{total} {unit}, {rate:.1f}/s{left}")

    def update(amount: int) -> None:
        nonlocal done, last
        done += amount
        if time.monotonic() - last >= PLAIN_SECONDS and done < total:
            last = time.monotonic()
            line()

    yield update
    line()


def say(words: str) -> None:
    """Write a line where the progress stands."""
    print(words, file=sys.stderr, flush=True)
