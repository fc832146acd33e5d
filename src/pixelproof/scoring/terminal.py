"""The answer on a terminal: a table, each row with its interval drawn, and what to know of it."""

import io

from pixelproof.core.statistics.intervals import Interval
from pixelproof.scoring.result import Row, Score

PLOT = 20  # columns


def digits(number: float) -> str:
    """A number with as many digits as tell something."""
    return (
        f"{number:,.0f}"
        if number >= 99.5
        else f"{number:.1f}"
        if number >= 9.95
        else f"{number:.2f}"
    )


def percent(share: float) -> str:
    """A share in percent."""
    return digits(100 * share)


def bounded(interval: Interval) -> str:
    """A rate in percent with its bounds."""
    return bounded_number(Interval(*(100 * bound for bound in interval)))


def bounded_number(interval: Interval) -> str:
    """A number with its bounds."""
    value, low, high = map(digits, interval)
    return f"{value} [{low}, {high}]"


def changed(row: Row, score: Score) -> str:
    """What was changed, in words."""
    kind = "stuck " if score.values == "stuck" else ""
    pixels = f"{row.n} {kind}pixel{'s' if row.n > 1 else ''}"
    return f"worst {pixels}" if row.worst else pixels


def drawn_interval(interval: Interval, most: float) -> str:
    """An interval on a line from 0 to a rate: ━ from bound to bound, ● the estimate."""

    def column(rate: float) -> int:
        return min(PLOT - 1, round((PLOT - 1) * rate / most)) if most else 0

    low, value, high = (column(one) for one in (interval.low, interval.value, interval.high))
    cells = ["━" if low <= at <= high else "·" for at in range(PLOT)]
    cells[value] = "●"
    return "".join(cells)


def headline(score: Score) -> str:
    """The answer in a sentence."""
    drawn = [row for row in score.rows if not row.worst]
    if not drawn:
        return "The budget was used up before a pixel was changed."
    flips = [row for row in drawn if row.wrong]
    if not flips:
        most = drawn[-1]
        return (
            f"{changed(most, score)} at random never made it wrong ({most.queries:,} queries of "
            f"{most.images:,} images): at most {percent(most.error.high)} % with 95 % confidence."
        ).capitalize()
    first, last = flips[0], flips[-1]
    words = f"It is wrong from {changed(first, score)} on, in {percent(first.error.value)} %"
    if last is not first:
        words += f"; with {last.n}, in {percent(last.error.value)} %"
    worst = [row for row in score.rows if row.worst and row.wrong]
    if worst:
        found = worst[0]
        words += f". The worst {found.n} make it wrong in {percent(found.error.value)} %"
    return words + "."


def text(score: Score, colour: bool = False, width: int = 100) -> str:
    """The table with its plot, the headline before it, and the notes after it."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    most = max((row.error.high for row in score.rows), default=0.0)
    for heading in ("changed", "wrong %", "Pi", "flip", "queries"):
        table.add_column(heading, justify="left" if heading == "changed" else "right", no_wrap=True)
    table.add_column(_axis(most), no_wrap=True)
    for row in ([score.clean] if score.clean else []) + list(score.rows):
        pi = "" if row.pi is None else bounded_number(row.pi)
        plot = "" if row.n == 0 else drawn_interval(row.error, most)
        name = "nothing" if row.n == 0 else changed(row, score)
        flips = f"{row.flipped:,} of {row.images:,}"
        table.add_row(name, bounded(row.error), pi, flips, f"{row.queries:,}", plot)
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, force_terminal=colour, highlight=False)
    console.print(Text(headline(score), style="bold" if colour else ""))
    console.print()
    console.print(table)
    console.print()
    for line in facts(score):
        console.print(Text(line))
    return buffer.getvalue().rstrip()


def _axis(most: float) -> str:
    """The ends of the plot's scale."""
    end = f"{percent(most)} %"
    return "0" + end.rjust(PLOT - 1)


def facts(score: Score) -> list[str]:
    """What the figures are of, what they cost, and what to know of them."""
    where = f"the centred {score.area} x {score.area}" if score.area else "the whole image"
    about = {row.about for row in score.rows if not row.worst}
    of = " and ".join(sorted(about)) or "nothing"
    lines = [
        f"{score.model} on {score.images}: {score.preprocessing}; values {score.values} in "
        f"{where}, seed {score.seed}.",
        f"Intervals are of 95 %, for {of}. Rates are of the images that are right unchanged.",
        f"{score.queries:,} queries in {score.seconds:.1f} s.",
    ]
    if score.ended:
        lines.append(f"Not done: {score.ended}.")
    return lines + [f"Note: {note}." for note in score.notes]
