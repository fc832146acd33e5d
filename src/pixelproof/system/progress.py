"""Progress of long work: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
    show = _bar if sys.stderr.isatty() else _lines
    with show(total, label, unit) as update:
        yield update


@contextmanager
def _bar(total: int, label: str, unit: str) -> Iterator[Callable[[int], object]]:
    # Imported here: most stages run without a terminal, and start faster without.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    rate = _Rate()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=total, rate="")

        def update(amount: int) -> None:
            bar.update(task, advance=amount, rate=f"{rate.after(amount):.1f} {unit}/s")

        yield update


@contextmanager
def _lines(total: int, label: str, unit: str) -> Iterator[Callable[[int], object]]:
    rate = _Rate()
    last = time.monotonic()

    def line(speed: float) -> None:
        left = f", {(total - rate.done) / speed:.0f} s left" if 0 < rate.done < total else ""
        say(f"{label}: {rate.done}/{total} {unit}, {speed:.1f}/s{left}")

    def update(amount: int) -> None:
        nonlocal last
        speed = rate.after(amount)
        if time.monotonic() - last >= PLAIN_SECONDS and rate.done < total:
            last = time.monotonic()
            line(speed)

    yield update
    line(rate.after(0))


class _Rate:
    """The amount done, and how much a second."""

    def __init__(self) -> None:
        self.done = 0
        self._start = time.monotonic()

    def after(self, amount: int) -> float:
        """The amount a second once this much more is done."""
        self.done += amount
        return self.done / max(time.monotonic() - self._start, 1e-9)


def say(words: str) -> None:
    """Write a line above the progress."""
    print(words, file=sys.stderr, flush=True)
