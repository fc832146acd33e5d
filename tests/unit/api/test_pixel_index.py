"""`PixelIndex` against the pipeline's own statistics, in one process and in two."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from torch.multiprocessing.spawn import spawn
from torch.utils.data import DataLoader, DistributedSampler

from pixelproof import PixelIndex
from pixelproof.core.pixel_index import pixel_index
from pixelproof.core.statistics.intervals import rate_interval
from pixelproof.errors import NumericalError, ParameterError

IMAGES, DRAWS = 37, 3
IDS = np.sort(np.random.default_rng(1).integers(0, 2**64, IMAGES, dtype=np.uint64))
LABELS = torch.arange(IMAGES) % 4
# By image: some are wrong in each draw, most in none, as pictures are.
WRONG = np.random.default_rng(2).random((IMAGES, DRAWS)) < np.linspace(0, 0.6, IMAGES)[:, None]


def metric() -> PixelIndex:
    return PixelIndex(n=12, side=16, values="offset:40", area=10)


def answers(wrong: npt.NDArray[np.bool_], labels: Tensor) -> Tensor:
    """Scores (B, 4) of a model that is wrong just there."""
    classes = (labels + torch.from_numpy(wrong)) % 4
    return torch.nn.functional.one_hot(classes, 4).float()


def expected(wrong: npt.NDArray[np.bool_]) -> dict[str, float]:
    rate = rate_interval(wrong)
    pi = [pixel_index(one, 12, 16, "offset:40", 10) for one in rate]
    names = ("error_rate", "error_low", "error_high", "pi", "pi_low", "pi_high")
    counts = {"images": len(wrong), "draws": wrong.shape[1], "wrong": int(wrong.sum())}
    return counts | dict(zip(names, [*rate, *pi], strict=True))


def test_figures_are_those_of_the_pipeline_in_any_batches() -> None:
    whole = metric()
    for draw in (2, 0, 1):
        for rows in np.array_split(np.random.default_rng(draw).permutation(IMAGES), 4):
            scores = answers(WRONG[rows, draw], LABELS[rows])
            whole.update(scores, LABELS[rows], ids=IDS[rows], draw=draw)
    assert whole.summary() == expected(WRONG)
    assert float(whole.compute()) == pytest.approx(expected(WRONG)["pi"])
    whole.reset()
    assert not whole.named


def test_a_repeated_prediction_counts_once() -> None:
    once, twice = metric(), metric()
    for times, one in ((1, once), (2, twice)):
        for _ in range(times):
            one.update(answers(WRONG[:, 0], LABELS), LABELS, ids=IDS)
    assert once.summary() == twice.summary() == expected(WRONG[:, :1])
    assert torch.equal(once.compute(), twice.compute())


def test_without_ids_each_prediction_is_an_image_of_its_own() -> None:
    alone = metric()
    for draw in range(DRAWS):
        alone.update(answers(WRONG[:, draw], LABELS).argmax(dim=1), LABELS)
    flat = WRONG.reshape(-1, 1)
    assert alone.summary() == expected(np.sort(flat, axis=0))
    assert float(alone.compute()) == pytest.approx(expected(flat)["pi"])
    width = alone.summary()["pi_high"] - alone.summary()["pi_low"]
    by_image = expected(WRONG)
    assert width < by_image["pi_high"] - by_image["pi_low"], "draws of an image go together"


@pytest.mark.parametrize("ids", [None, IDS])
@pytest.mark.parametrize("look", ["compute", "summary", "forward"])
def test_updates_go_on_after_a_look(look: str, ids: npt.NDArray[np.uint64] | None) -> None:
    looked, wanted = metric(), metric()
    for draw in range(DRAWS):
        scores = answers(WRONG[:, draw], LABELS)
        wanted.update(scores, LABELS, ids=ids, draw=draw)
        if look == "forward":
            looked(scores, LABELS, ids=ids, draw=draw)
        else:
            looked.update(scores, LABELS, ids=ids, draw=draw)
            getattr(looked, look)()
    assert looked.summary() == wanted.summary()
    assert torch.equal(looked.compute(), wanted.compute())


def test_images_that_are_wrong_unchanged_are_left_out() -> None:
    wrong_before = np.arange(IMAGES) % 5 == 0
    unchanged = answers(wrong_before, LABELS)
    for ids in (None, IDS):
        kept = metric()
        kept.update(answers(WRONG[:, 0], LABELS), LABELS, ids=ids, unchanged=unchanged)
        wanted = expected(np.sort(WRONG[~wrong_before, :1], axis=0))
        assert kept.summary() == wanted


def test_a_batch_has_a_value_of_its_own() -> None:
    whole = metric()
    value = whole(answers(WRONG[:20, 0], LABELS[:20]), LABELS[:20], ids=IDS[:20])
    assert float(value) == pytest.approx(expected(WRONG[:20, :1])["pi"])
    whole(answers(WRONG[20:, 0], LABELS[20:]), LABELS[20:], ids=IDS[20:])
    assert whole.summary() == expected(WRONG[:, :1])


def test_where_no_image_counts_there_is_no_index() -> None:
    none = metric()
    none.update(LABELS, LABELS, unchanged=LABELS + 1)
    assert torch.isnan(none.compute())
    with pytest.raises(ValueError, match="expected images and draws"):
        none.summary()


def in_process(rank: int, folder: Path) -> None:
    """One of two processes: a part of the images, the last of them twice; or none at all."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    named, unnamed, lonely = metric(), metric(), metric()
    sampler: DistributedSampler[int] = DistributedSampler(range(IMAGES), shuffle=True, seed=4)  # type: ignore[arg-type]
    for rows in DataLoader(range(IMAGES), batch_size=5, sampler=sampler):  # type: ignore[arg-type]
        for draw in range(DRAWS):
            scores = answers(WRONG[rows, draw], LABELS[rows])
            named.update(scores, LABELS[rows], ids=IDS[rows], draw=draw)
    own = slice(rank, None, 2)
    unnamed.update(answers(WRONG[own, 0], LABELS[own]), LABELS[own])
    if rank == 1:
        lonely.update(answers(WRONG[:, 0], LABELS), LABELS, ids=IDS)
    metrics = (named, unnamed, lonely, named)  # gathering leaves the states as they were
    figures = [one.summary() | {"computed": float(one.compute())} for one in metrics]
    torch.save(figures, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_find_the_figures_of_one(tmp_path: Path) -> None:
    spawn(in_process, args=(tmp_path,), nprocs=2)  # type: ignore[no-untyped-call]
    first = WRONG[:, :1]
    wanted = [expected(one) for one in (WRONG, np.sort(first, axis=0), first, WRONG)]
    for rank in range(2):
        for found, one in zip(torch.load(tmp_path / f"{rank}.pt"), wanted, strict=True):
            assert found.pop("computed") == pytest.approx(one["pi"])
            assert found == one


@pytest.mark.parametrize(
    ("preds", "target", "options", "message"),
    [
        (torch.rand(4), LABELS[:4], {}, r"preds: expected classes \(B,\) or scores \(B, K\)"),
        (torch.rand(3, 4), LABELS[:4], {}, r"got torch.float32 \(3, 4\) beside \(4,\)"),
        (LABELS, LABELS, {"unchanged": LABELS[:3]}, r"unchanged: .* got torch.int64 \(3,\)"),
        (LABELS, LABELS, {"ids": [1, 2]}, "ids: expected 37, one for each image, got 2"),
    ],
)
def test_answers_that_do_not_fit_are_refused(
    preds: Tensor, target: Tensor, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        metric().update(preds, target, **options)


def test_what_would_give_wrong_figures_is_refused() -> None:
    with pytest.raises(ValueError, match="1 <= n <= area²"):
        PixelIndex(n=300, side=16)
    with pytest.raises(NumericalError, match="preds: expected scores, got NaN"):
        metric().update(torch.full((1, 4), torch.nan), LABELS[:1])
    mixed = metric()
    mixed.update(LABELS, LABELS, ids=IDS)
    with pytest.raises(ParameterError, match="ids: expected in every update or in none"):
        mixed.update(LABELS, LABELS)
    mixed.update(LABELS[:5], LABELS[:5], ids=IDS[:5], draw=1)
    with pytest.raises(ParameterError, match="expected as many draws of each image, got 1 to 2"):
        mixed.summary()
