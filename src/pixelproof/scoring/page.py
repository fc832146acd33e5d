"""The answer as a page, in the design of the report, with the pictures that flip."""

import base64
import io
import re
from dataclasses import dataclass

import jinja2
import numpy as np
from PIL import Image

from pixelproof.core.pixel_changes import apply_changes, draw_changes
from pixelproof.core.statistics.intervals import Interval
from pixelproof.data.image_set import image_id
from pixelproof.scoring.pictures import Pictures
from pixelproof.scoring.result import Flip, Score
from pixelproof.scoring.target import UInt8
from pixelproof.scoring.terminal import bounded, bounded_number, changed, facts, headline

REPORT = "page.html.jinja"  # of `reporting`, whose style and pictures this page shares
LINE = 480.0  # units of the plot's width


@dataclass(frozen=True)
class Shown:
    """A flip, before and after, as `picture` of the report's template takes it.

    Attributes:
        flip: What flipped.
        side: Of both images in pixels; the page enlarges them without smoothing.
        original: A data address of the unchanged image.
        changed: A data address of the changed one.
        frames: An SVG path around the changed pixels, in units of a pixel.
    """

    flip: Flip
    side: int
    original: str
    changed: str
    frames: str


def page(score: Score, pictures: Pictures) -> str:
    """The page, as HTML.

    Args:
        score: The answer.
        pictures: That it was made from; those that flip are read again.
    """
    loader = jinja2.ChoiceLoader(
        [
            jinja2.PackageLoader("pixelproof.scoring", "."),
            jinja2.PackageLoader("pixelproof.reporting", "."),
        ]
    )
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols"],
    )
    environment.filters["slug"] = lambda words: re.sub(r"\W+", "-", words.lower())
    report, _, _ = loader.get_source(environment, REPORT)
    style = re.search(r"<style>.*?</style>", report, re.DOTALL)
    assert style is not None, "the report has a style"
    return environment.get_template("score.html.jinja").render(
        score=score,
        style=style[0],
        headline=headline(score),
        facts=facts(score),
        bounded=bounded,
        bounded_number=bounded_number,
        changed=changed,
        line=_line,
        most=max((row.error.high for row in score.rows), default=1.0) or 1.0,
        shown=[_shown(flip, score, pictures) for flip in score.flips],
        reason="",  # what the report's template is imported with
    )


def _line(interval: Interval, most: float) -> dict[str, float]:
    """Where an interval lies in the plot."""
    return {name: round(LINE * value / most, 1) for name, value in interval._asdict().items()}


def _shown(flip: Flip, score: Score, pictures: Pictures) -> Shown:
    image = pictures.read(flip.row)
    side = image.shape[1]
    changes = draw_changes(
        np.array([image_id(image)], np.uint64),
        flip.n,
        (side, side),
        seed=score.seed,
        draw=flip.draw,
        values=score.values,
        area=score.area,
    )
    after = apply_changes(image[None], changes)[0]
    # A frame leaves the pixel within it visible.
    corners = [(at % side - 0.25, at // side - 0.25) for at in changes.positions[0].tolist()]
    frames = "".join(f"M{x:g} {y:g}h1.5v1.5h-1.5z" for x, y in corners)
    return Shown(flip, side, _png(image), _png(after), frames)


def _png(image: UInt8) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
