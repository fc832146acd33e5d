import dataclasses
import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pixelproof.cli.stage import execute
from pixelproof.core.pixel_changes import apply_changes
from pixelproof.data.drawn_changes import ChangeSet, load_change_set
from pixelproof.data.image_set import ImageSet, load_images
from pixelproof.errors import DataError, IntegrityError, NumericalError
from pixelproof.models import training
from pixelproof.models.attacked_images import Attacks
from pixelproof.models.checkpoints import Checkpoint
from pixelproof.models.classifier import Classifier
from pixelproof.models.devices import DeviceImages
from pixelproof.models.recipe import Recipe
from pixelproof.models.training import fine_tune
from pixelproof.params.finetune import AdversarialShare, WorstShare
from pixelproof.params.project import load_params
from tests.conftest import no_room_beyond
from tests.support.tiny_network import factory

RECIPE = Recipe(epochs=3, learning_rate=0.05, batch_size=7, seed=4, n=8)
ATTACKED = dataclasses.replace(
    RECIPE,
    mix=0.2,
    adversarial=AdversarialShare(epsilon=8, share=0.4),
    worst=WorstShare(n=6, share=0.3),
    values="stuck",
    area=5,
)


@pytest.fixture
def images(project: Path) -> ImageSet:
    params = load_params()
    execute("select", params)
    execute("generate", params)
    return load_images(Path("artifacts/images"), "train", params.select)


@pytest.fixture
def changes(images: ImageSet) -> ChangeSet:
    return load_change_set(Path("artifacts/changes/train"), "stuck-8", images)


def start(images: ImageSet) -> Classifier:
    torch.manual_seed(0)
    return Classifier(factory(2), "tiny", images.classes, (0.3,) * 3, (0.2,) * 3, {})


def attacks_of(classifier: Classifier, images: ImageSet, recipe: Recipe) -> Attacks | None:
    return Attacks(classifier, images.ids, recipe) if recipe.attacked else None


def weights(classifier: Classifier) -> bytes:
    state = classifier.network.state_dict().values()
    return b"".join(one.contiguous().numpy().tobytes() for one in state)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """So many threads of torch; the other tests leave it at one."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("recipe", [RECIPE, ATTACKED], ids=["plain", "attacked"])
def test_training_twice_gives_the_same_bits(images: ImageSet, threads: int, recipe: Recipe) -> None:
    assert torch.get_num_threads() == threads
    one, two = start(images), start(images)
    curves = [
        fine_tune(each, images, None, recipe, "toy", attacks=attacks_of(each, images, recipe))
        for each in (one, two)
    ]
    assert weights(one) == weights(two)
    assert curves[0] == curves[1]
    assert [row["epoch"] for row in curves[0]] == [1, 2, 3]
    assert curves[0][-1]["accuracy"] > 0.9 > curves[0][0]["accuracy"]
    assert not one.training


class InterruptedError(Exception):
    pass


@pytest.mark.parametrize("recipe", [RECIPE, ATTACKED], ids=["plain", "attacked"])
@pytest.mark.parametrize("interrupted_epoch", [1, 2])
def test_an_interrupted_run_resumes_and_ends_in_the_same_bits(
    images: ImageSet, monkeypatch: pytest.MonkeyPatch, interrupted_epoch: int, recipe: Recipe
) -> None:
    whole = start(images)

    def train(
        classifier: Classifier, checkpoint: Checkpoint | None = None
    ) -> list[dict[str, float]]:
        attacks = attacks_of(classifier, images, recipe)
        return fine_tune(classifier, images, None, recipe, "toy", checkpoint, attacks=attacks)

    expected = train(whole)
    checkpoint = Checkpoint(Path("checkpoints"), recipe, start(images), images, None)
    epoch_images = training._epoch_images

    def stop(*arguments: Any) -> Iterator[Any]:
        if arguments[-1] == interrupted_epoch:
            raise InterruptedError
        return epoch_images(*arguments)

    monkeypatch.setattr(training, "_epoch_images", stop)
    with pytest.raises(InterruptedError):
        train(start(images), checkpoint)
    monkeypatch.setattr(training, "_epoch_images", epoch_images)
    resumed = start(images)
    assert train(resumed, checkpoint) == expected
    assert weights(resumed) == weights(whole)
    checkpoint.remove()
    assert not Path("checkpoints").exists()


def test_the_key_of_a_checkpoint_stands_for_the_configuration(
    images: ImageSet, changes: ChangeSet
) -> None:
    def key(recipe: Recipe = RECIPE, drawn: ChangeSet | None = None, seed: int = 0) -> str:
        torch.manual_seed(seed)
        classifier = Classifier(factory(2), "tiny", images.classes, (0,) * 3, (1,) * 3, {})
        return Checkpoint(Path("c"), recipe, classifier, images, drawn).path.name

    other = Recipe(epochs=4, learning_rate=0.05, batch_size=7, seed=4, n=8)
    assert key() == key()
    assert len({key(), key(other), key(drawn=changes), key(seed=1)}) == 4


def test_attacks_enter_the_key_of_a_checkpoint_only_where_there_are_any() -> None:
    before = ["epochs", "learning_rate", "batch_size", "seed", "n", "mix", "fresh", "train"]
    assert list(RECIPE.key) == [*before, "augment"]
    assert dataclasses.replace(RECIPE, values="stuck", area=5).key == RECIPE.key
    one = dataclasses.replace(ATTACKED, worst=None)
    assert len({str(recipe.key) for recipe in (RECIPE, ATTACKED, one)}) == 3


def test_a_damaged_checkpoint_is_refused(images: ImageSet) -> None:
    checkpoint = Checkpoint(Path("checkpoints"), RECIPE, start(images), images, None)
    checkpoint.save({"curve": []})
    path = checkpoint.path / "state.pt"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="damaged"):
        checkpoint.load()


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Do some work in a process that is killed before its n-th change of a name on the disk."""
    child = os.fork()
    if child == 0:
        left = step

        def count(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            if event in ("os.remove", "os.rename", "os.rmdir"):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        work()
        os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


def test_a_kill_between_any_two_changes_of_a_checkpoint_blocks_no_rerun(images: ImageSet) -> None:
    checkpoint = Checkpoint(Path("checkpoints"), RECIPE, start(images), images, None)

    def found() -> list[int] | None:
        state = checkpoint.load()
        return None if state is None else state["curve"]

    kills = 0
    for epoch in (0, 1):  # onto nothing, and over an older one
        for step in itertools.count():
            checkpoint.remove()
            if epoch:
                checkpoint.save({"curve": [0]})
            if not killed_at(step, lambda: checkpoint.save({"curve": [0, 1]})):
                break
            kills += 1
            assert found() in ([[0], [0, 1]] if epoch else [None, [0, 1]]), step
            checkpoint.save({"curve": [0, 1, 2]})
            assert found() == [0, 1, 2]
        assert found() == [0, 1]
    for step in itertools.count():
        checkpoint.save({"curve": [0]})
        if not killed_at(step, checkpoint.remove):
            break
        kills += 1
        assert found() in (None, [0]), step
    assert not checkpoint.folder.exists()
    assert kills > 8


def test_a_full_disk_is_named_and_the_old_checkpoint_stays(images: ImageSet) -> None:
    checkpoint = Checkpoint(Path("checkpoints"), RECIPE, start(images), images, None)
    checkpoint.save({"curve": [], "weights": torch.zeros(10)})
    with (
        no_room_beyond(4096),
        pytest.raises(DataError, match=r"checkpoints/\w+: cannot be written"),
    ):
        checkpoint.save({"curve": [], "weights": torch.ones(10_000)})
    stored = checkpoint.load()
    assert stored is not None
    assert torch.equal(stored["weights"], torch.zeros(10))


def resident(images: ImageSet) -> DeviceImages:
    return DeviceImages(images.pixels, torch.device("cpu"))


@pytest.mark.parametrize("fresh", [True, False])
def test_each_epoch_applies_its_draw(images: ImageSet, changes: ChangeSet, fresh: bool) -> None:
    draws = 2 if fresh else 1
    recipe = Recipe(epochs=2, learning_rate=0.1, batch_size=5, seed=1, n=8, fresh=fresh)
    for epoch in range(2):
        rows_seen = []
        for rows, batch in training._epoch_images(resident(images), changes, recipe, epoch):
            drawn = changes.take(rows, epoch % draws, 8)
            expected = apply_changes(np.array(images.pixels[rows]), drawn)
            assert np.array_equal(batch.numpy(), expected)
            rows_seen += rows.tolist()
        assert sorted(rows_seen) == list(range(len(images.ids)))


def test_mix_leaves_a_share_of_the_images_unchanged(images: ImageSet, changes: ChangeSet) -> None:
    recipe = Recipe(epochs=1, learning_rate=0.1, batch_size=5, seed=1, n=8, mix=0.5)
    unchanged = 0
    for rows, batch in training._epoch_images(resident(images), changes, recipe, 0):
        same = (batch.numpy() == images.pixels[rows]).all(axis=(1, 2, 3))
        unchanged += int(same.sum())
    assert 0.25 < unchanged / len(images.ids) < 0.75


def test_the_shares_of_a_batch_are_what_the_arm_says(images: ImageSet, changes: ChangeSet) -> None:
    classifier = start(images).train()
    statistics = weights(classifier)
    attacks = Attacks(classifier, images.ids, ATTACKED)
    targets = classifier.targets(images.classes)[torch.from_numpy(images.labels)]
    counted = dict.fromkeys(("unchanged", "adversarial", "worst", "random"), 0)
    for epoch in range(2):  # as many as the toy has draws
        attacks.start(epoch)
        for rows, batch in training._epoch_images(resident(images), changes, ATTACKED, epoch):
            clean = torch.from_numpy(np.array(images.pixels[rows])).int()
            result = attacks.on(rows, batch, targets[rows])
            distance = (result.int() - clean).abs()
            for image in distance:
                pixels = int((image.amax(dim=0) > 0).sum())
                spread = pixels > image[0].numel() / 2
                counted[_kind(pixels, spread)] += 1
                assert not spread or image.max() <= 8
    assert classifier.training
    assert weights(classifier) == statistics, "no attack moves the statistics of a batch norm"
    total = sum(counted.values())
    assert counted["adversarial"] / total == pytest.approx(0.4, abs=0.1)
    # An image that is wrong already has no worst pixels: it stays as it is.
    assert counted["unchanged"] / total > 0.1
    assert counted["worst"] > 0
    assert counted["random"] > 0


def _kind(pixels: int, spread: bool) -> str:
    if spread:
        return "adversarial"
    return "unchanged" if not pixels else "worst" if pixels <= 6 else "random"


def test_all_arms_share_their_order(images: ImageSet, changes: ChangeSet) -> None:
    with_changes = [
        rows for rows, _ in training._epoch_images(resident(images), changes, RECIPE, 0)
    ]
    without = [rows for rows, _ in training._epoch_images(resident(images), None, RECIPE, 0)]
    assert all(np.array_equal(a, b) for a, b in zip(with_changes, without, strict=True))
    assert {len(rows) for rows in without} <= {6, 7}
    later = np.concatenate(
        [rows for rows, _ in training._epoch_images(resident(images), None, RECIPE, 1)]
    )
    assert not np.array_equal(later, np.concatenate(without))


def test_head_trains_the_final_layer_alone(images: ImageSet) -> None:
    classifier = start(images)
    before = {key: one.clone() for key, one in classifier.network.state_dict().items()}
    recipe = Recipe(epochs=1, learning_rate=0.1, batch_size=8, seed=1, train="head")
    fine_tune(classifier, images, None, recipe, "head")
    after = classifier.network.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"head.weight", "head.bias"}


def test_a_loss_that_is_not_finite_stops_before_the_step(images: ImageSet) -> None:
    classifier = start(images)
    with torch.no_grad():
        classifier.network.get_parameter("head.bias")[0] = float("nan")
    before = weights(classifier)
    with pytest.raises(NumericalError, match=r"toy, epoch 1, batch 0: the loss is nan"):
        fine_tune(classifier, images, None, RECIPE, "toy")
    parameters = dict(classifier.network.named_parameters())
    assert parameters["features.weight"].isfinite().all()
    assert weights(classifier)[:100] == before[:100]


def test_batch_statistics_follow_a_short_training(images: ImageSet) -> None:
    classifier = start(images)
    norm = classifier.network.get_submodule("norm")
    assert isinstance(norm, torch.nn.BatchNorm2d)
    norm.momentum = 0.001  # as good as never
    fine_tune(classifier, images, None, RECIPE, "toy")
    targets = classifier.targets(images.classes)[torch.from_numpy(images.labels)]
    predicted = classifier(torch.from_numpy(np.array(images.pixels))).argmax(dim=1)
    assert (predicted == targets).float().mean() > 0.9
