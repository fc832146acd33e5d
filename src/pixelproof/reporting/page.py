"""The report: one self-contained page that is readable without a server or a network."""

import re
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2

from pixelproof.data.image_set import ImageSet
from pixelproof.reporting.advice import next_steps
from pixelproof.reporting.comparison import Comparison
from pixelproof.reporting.figures import distances, forest, page_error_rates, svg
from pixelproof.reporting.findings import flips, regressed, sensor
from pixelproof.reporting.gallery import gallery
from pixelproof.reporting.gradient_masking import Check
from pixelproof.reporting.paper_claims import Claim
from pixelproof.reporting.repetitions import method_words
from pixelproof.reporting.tables import tables
from pixelproof.reporting.text import result_markdown, result_name
from pixelproof.reporting.verdict import judgements, spared, verdict
from pixelproof.reporting.wording import left_out, parts, reference
from pixelproof.reporting.worst_case import worst_words
from pixelproof.system import files


def write_page(
    comparison: Comparison,
    claims: list[Claim],
    checks: list[Check],
    images: ImageSet,
    manifest: dict[str, Any],
    path: Path,
) -> None:
    """Write the report.

    Args:
        comparison: Of all models.
        claims: The paper's claims, tested.
        checks: The checks for masked gradients.
        images: The held-out images.
        manifest: Of the images, as `select` wrote it.
        path: Of the HTML file; written whole or not at all.
    """
    summary = comparison.summary
    text = _template().render(
        verdict=verdict(summary),
        answers=judgements(summary),
        steps=next_steps(summary),
        reference=reference(summary),
        made_from=made_from(summary),
        summary=summary,
        left_out=left_out(summary),
        worst=worst_words(summary),
        parts=parts(summary),
        spared=spared(summary),
        methods=method_words(summary),
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
        result=result_name(summary),
        params={
            key: section for key, section in asdict(comparison.params).items() if key != "compute"
        },
        versions={name: version(name) for name in ("pixelproof", "torch", "torchvision", "numpy")},
    )
    files.write_text(path, text)


def failed_page(reason: str) -> str:
    """A page that says why there is no result."""
    return _template().render(reason=reason)


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pixelproof.reporting", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols"],
    )
    environment.filters["slug"] = lambda words: re.sub(r"\W+", "-", words.lower())
    return environment.get_template("page.html.jinja")


def made_from(summary: Mapping[str, Any]) -> str:
    """The images that a result was made from, in words; with a hash of their content."""
    data = summary["made_from"]["data"]
    words = f"{data['images']:,} images of {data['classes']} classes in {data['path']}"
    return f"{words}, content {data['content'][:12]}"


def markdown(comparison: Comparison, claims: list[Claim]) -> str:
    """The result in short, for a pull request."""
    summary = comparison.summary
    lines = [verdict(summary), "", result_markdown(summary, comparison.table), ""]
    lines += [f"- {step.words} `{step.command}`" for step in next_steps(summary)]
    lines += ["", f"Result `{result_name(summary)}`; {made_from(summary)}."]
    lines += ["", "| the paper's claim | here | found |", "| --- | --- | --- |"]
    lines += [
        f"| {claim.words} | {claim.status} | {claim.found or claim.reason} |" for claim in claims
    ]
    return "\n".join(lines) + "\n"
