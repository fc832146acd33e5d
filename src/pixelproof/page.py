"""The report: one self-contained page that is readable without a server or a network."""

import re
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2

from pixelproof import files
from pixelproof.advice import next_steps
from pixelproof.claims import Claim
from pixelproof.comparison import Comparison
from pixelproof.figures import distances, forest, page_error_rates, svg
from pixelproof.findings import flips, regressed, sensor
from pixelproof.gallery import gallery
from pixelproof.images import ImageSet
from pixelproof.masking import Check
from pixelproof.report import result_markdown
from pixelproof.tables import tables
from pixelproof.template import FAILED, PAGE
from pixelproof.verdict import judgements, verdict
from pixelproof.wording import left_out, reference


def write_page(
    comparison: Comparison,
    claims: list[Claim],
    checks: list[Check],
    images: ImageSet,
    manifest: dict[str, Any],
    weights: dict[str, str],
    path: Path,
) -> None:
    """Write the report.

    Args:
        comparison: What is known of all models.
        claims: The paper's claims, tested.
        checks: Whether gradients are masked.
        images: The held-out images.
        manifest: Of the images, as `select` wrote it.
        weights: By model the SHA-256 of its weights.
        path: Of the HTML file; written whole or not at all.
    """
    summary = comparison.summary
    text = _template(PAGE).render(
        verdict=verdict(summary),
        answers=judgements(summary),
        steps=next_steps(summary),
        reference=reference(summary),
        summary=summary,
        left_out=left_out(summary),
        claims=claims,
        hero=svg(forest(comparison)),
        tables=tables(comparison, checks),
        figures=svg(page_error_rates(comparison)),
        distances=distances(comparison),
        gallery=gallery(comparison, images, manifest),
        flips=flips(comparison),
        regressed=regressed(comparison, manifest),
        sensor=sensor(comparison, manifest),
        manifest=manifest,
        weights=weights,
        params=asdict(comparison.params),
        versions={name: version(name) for name in ("pixelproof", "torch", "torchvision", "numpy")},
    )
    files.write_text(path, text)


def failed_page(reason: str) -> str:
    """A page that says why there is no result."""
    return _template(FAILED).render(reason=reason)


def _template(text: str) -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols"],
    )
    environment.filters["slug"] = lambda words: re.sub(r"\W+", "-", words.lower())
    return environment.from_string(text)


def markdown(comparison: Comparison, claims: list[Claim]) -> str:
    """The result in short, for a pull request."""
    summary = comparison.summary
    lines = [verdict(summary), "", result_markdown(summary, comparison.table), ""]
    lines += [f"- {one.words} `{one.command}`" for one in next_steps(summary)]
    lines += ["", "| the paper's claim | here | found |", "| --- | --- | --- |"]
    lines += [f"| {one.words} | {one.status} | {one.found or one.reason} |" for one in claims]
    return "\n".join(lines) + "\n"
