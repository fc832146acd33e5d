"""Each stage's number of behaviour: it moves with the results, and decides what may run."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tools.same_results import draw_data

from pixelproof import __version__
from pixelproof.cli.stage import STAGES, execute
from pixelproof.data.image_set import hex_id
from pixelproof.errors import IntegrityError, ParameterError
from pixelproof.params.behaviour import (
    BEHAVIOUR,
    RECORD,
    Record,
    check_behaviour,
    read_record,
    write_record,
)
from pixelproof.params.project import parse_params
from pixelproof.paths import CHANGES, IMAGES
from pixelproof.system.files import sha256, write_sealed
from pixelproof.tracking.records import pipeline_key

# stage -> number -> hash of what it makes of `PARAMS`; an entry that was released never changes.
HISTORY = json.loads(Path(__file__).with_name("behaviour.json").read_text())
PARAMS = {
    "select": {"side": 16, "held_out": 0.4, "seed": 3},
    "baselines": {"baseline": {"classifier": "efficientnet_lite0"}},
    "finetune": {
        "epochs": 2,
        "arms": {
            "clean": {"baseline": "baseline"},
            "stuck-8": {"baseline": "baseline", "n": 8, "values": "stuck"},
            "inner-4": {"baseline": "baseline", "n": 4, "values": "offset:20", "area": 8},
        },
    },
    "models": {
        name: {"origin": "baseline"} for name in ("baseline", "clean", "stuck-8", "inner-4")
    },
    "evaluate": {
        "draws": 2,
        "protocols": ["held_out", "paper"],
        "pixels": {"n": [4, 32]},
        "stuck": {"n": [8, 64]},
        "magnitude": {"offset": [10, 127], "n": [32]},
        "area": {"share": [1, 0.5], "n": [32]},
        "adversarial_pixels": {"n": [4, 32]},
        "worst_pixels": None,
        "worst_stuck": None,
    },
    "compare": {"reference": {"experiment": "stuck", "n": 64}},
}


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The hash of all that each stage makes here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("behaviour"))
        params, made = parse_params(PARAMS), {}
        for stage, (prepare, folder) in MADE.items():
            prepare()
            execute(stage, params)
            made[stage] = digest(folder)
        return made


def write_images() -> None:
    """Images as `select` leaves them, but not made by it: each number is of its stage alone."""
    shutil.rmtree(IMAGES)
    IMAGES.mkdir()
    select = parse_params(PARAMS).select
    manifest: dict[str, Any] = {key: getattr(select, key) for key in ("side", "fit", "split")}
    manifest |= {"seed": select.seed, "classes": ["bad", "good"], "splits": {}, "images": []}
    for at, split in enumerate(("train", "held_out")):
        ids = [2**40 * number + at for number in range(1, 13)]
        pixels = np.random.default_rng(at).integers(0, 256, (12, 3, 16, 16), dtype=np.uint8)
        np.save(IMAGES / f"{split}.npy", pixels)
        manifest["splits"][split] = {"sha256": sha256(IMAGES / f"{split}.npy")}
        manifest["images"] += [
            {"image": hex_id(one), "path": f"bad/{one}.png", "label": one % 2, "split": split}
            for one in ids
        ]
    write_sealed(IMAGES / "manifest.json", manifest)


def digest(folder: Path) -> str:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(
        "".join(f"{sha256(path)} {path}\n" for path in paths).encode()
    ).hexdigest()


MADE: dict[str, tuple[Callable[[], None], Path]] = {  # the same on every machine
    "select": (lambda: draw_data(Path("data"), 20), IMAGES),
    "generate": (write_images, CHANGES),
}


def test_each_stage_has_a_number() -> None:
    assert tuple(BEHAVIOUR) == STAGES
    assert HISTORY.keys() == MADE.keys()


@pytest.mark.parametrize("stage", MADE)
def test_a_number_moves_with_the_results_and_they_with_it(
    stage: str, computed: dict[str, str]
) -> None:
    history, number = HISTORY[stage], BEHAVIOUR[stage]
    assert list(history) == [str(one) for one in range(1, number + 1)], "one entry a number"
    assert len(set(history.values())) == number, "a raised number stands for other results"
    assert history[str(number)] == computed[stage], (
        f"{stage} makes something else: raise its number in pixelproof/params/behaviour.py, and "
        f"add {computed[stage]} to behaviour.json"
    )


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    record = Record(
        "1.0", {"select": 2, "compare": 1}, {"dvc.yaml": "ab" * 32, ".dvc/x": "12" * 32}
    )
    write_record(record, tmp_path)
    assert read_record(tmp_path) == record, "1.0 stays a text"


@pytest.mark.parametrize(
    "text",
    ["", "][", "stages: {select: 1}", "version: a\nstages: {select: x}\nfiles: {}", "- a"],
)
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(IntegrityError, match=r"pixelproof.lock: expected .* brings it back"):
        read_record(tmp_path)


def test_a_stage_runs_only_with_the_behaviour_that_is_recorded() -> None:
    same = Record(__version__, BEHAVIOUR, {})
    check_behaviour(STAGES, same)
    check_behaviour(STAGES, None)
    older = Record("0.0.1", {**BEHAVIOUR, "attack": BEHAVIOUR["attack"] - 1}, {})
    check_behaviour(["select", "compare"], older)
    with pytest.raises(
        ParameterError, match=r"of attack .* 0\.0\.1; `pixelproof upgrade --dry-run`"
    ):
        check_behaviour(STAGES, older)
    newer = Record("9.1", {**BEHAVIOUR, "attack": BEHAVIOUR["attack"] + 1}, {})
    with pytest.raises(
        ParameterError, match=r"made by the newer pixelproof 9\.1 \(attack: .*install"
    ):
        check_behaviour(["attack"], newer)


def test_another_behaviour_is_another_run_of_the_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    params = parse_params(PARAMS)
    keys = [pipeline_key(params)]
    for number in (1, 2):
        write_record(Record(__version__, {**BEHAVIOUR, "attack": number}, {}))
        keys.append(pipeline_key(params))
    assert len(set(keys)) == 3
