"""A search for a recipe: DVC's queue of experiments on a toy, and the choice between its tries."""

import csv
import json
from pathlib import Path

from tests.support.repository import run
from tests.support.toys import Toys


def test_a_search_spares_the_held_out_images_and_keeps_every_try(
    toys: Toys, tmp_path: Path
) -> None:
    root = toys.committed(tmp_path / "search")
    manifest = root / "artifacts" / "images" / "manifest.json"
    held_out = {one["image"] for one in images(manifest) if one["split"] == "held_out"}
    said = run(root, "pixelproof", "choose", code=3)
    assert "expected experiments that were made from this commit, got none" in said

    grid = ("+finetune.arms.stuck-8.mix=0.0,0.5", "+select.validation=0.5", "gate.images=5")
    options = [word for one in grid for word in ("-S", one)]
    run(root, "dvc", "exp", "run", "--queue", *options, off=True)
    run(root, "dvc", "exp", "run", "--run-all", off=True)
    assert run(root, "git", "status", "--porcelain") == "", "the workspace stays as it was"

    said = run(root, "pixelproof", "choose", "--csv", "tries.csv")
    with (root / "tries.csv").open() as file:
        tries = list(csv.DictReader(file))
    assert {one["recipe"].partition("mix: ")[2][:3] for one in tries} == {"0.0", "0.5"}
    for one in tries:
        name = run(
            root, "git", "for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{one['try']}"
        )
        summary = json.loads(run(root, "git", "show", f"{name.strip()}:metrics/summary.json"))
        assert summary["validation"] == 0.5
    assert ("Chosen, for finetune.arms" in said) != ("None is chosen" in said)
    assert "the held-out ones are spared" in said

    run(root, "dvc", "exp", "apply", tries[0]["try"], off=True)
    measured = {one["image"] for one in images(manifest)}
    assert measured
    assert not measured & held_out, "not even stored"
    assert "A choice, and no proof: measured on 50.0 %" in run(root, "pixelproof", "show")
    said = run(root, "pixelproof", "gate", code=2)
    assert "select.validation: expected null, since held-out images decide, got 0.5" in said


def images(manifest: Path) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(manifest.read_text())["images"]
    return found
