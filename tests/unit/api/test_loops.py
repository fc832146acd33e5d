"""Three training loops of people's own: what they measure is what the pipeline measures."""

import shutil
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import lightning
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from pixelproof import PixelIndex, SmallDistance, apply_changes
from pixelproof.cli.stage import execute
from pixelproof.data.drawn_changes import load_change_set
from pixelproof.data.image_set import ImageSet, load_images
from pixelproof.params.project import load_params
from tests.conftest import SIZE, enter_project, write_params
from tests.support.tiny_network import factory

N, DRAWS, SEED = 128, 3, 6  # as the toy's parameters have them: the seed is generate.test_seed
HARDENED = 8  # so few that the models still err
NORMALISE = v2.Compose(
    [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.3, 0.3, 0.3], [0.2, 0.2, 0.2])]
)
TEST = SmallDistance(N, "stuck", seed=SEED)
TRAIN = v2.Compose([v2.RandomHorizontalFlip(0.1), SmallDistance(HARDENED, "stuck"), NORMALISE])
Batches = Iterable[tuple[Tensor, Tensor, Tensor]]


class Pictures(Dataset[tuple[Any, int, Tensor]]):
    """Images with their classes and ids, as a person's own data set gives them."""

    def __init__(self, images: ImageSet, transform: Callable[[Any], Any]) -> None:
        self.pixels, self.labels = torch.from_numpy(images.pixels.copy()), images.labels.tolist()
        self.ids = torch.from_numpy(images.ids.view("int64"))
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, at: int) -> tuple[Any, int, Tensor]:
        return self.transform(self.pixels[at]), self.labels[at], self.ids[at]


def train_one_epoch(
    model: nn.Module,
    criterion: nn.Module,
    optimizer: torch.optim.Optimizer,
    data_loader: Batches,
    device: torch.device,
) -> None:
    """As in torchvision's references/classification/train.py, without its printing."""
    model.train()
    for image, target, _ in data_loader:
        image, target = image.to(device), target.to(device)
        output = model(image)
        loss = criterion(output, target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def evaluate(model: nn.Module, data_loader: Batches, device: torch.device) -> PixelIndex:
    """As there; a batch is uint8 until it is normalised, and asked once for each draw."""
    model.eval()
    metric = PixelIndex(N, SIZE).to(device)
    with torch.inference_mode():
        for image, target, ids in data_loader:
            image, target = image.to(device, non_blocking=True), target.to(device)
            unchanged = model(NORMALISE(image))
            for draw in range(DRAWS):
                output = model(NORMALISE(TEST(image, ids=ids, draw=draw)))
                metric.update(output, target, ids=ids, draw=draw, unchanged=unchanged)
    return metric


def after_torchvision(train: ImageSet, held_out: ImageSet) -> tuple[nn.Module, PixelIndex]:
    """A preset of transforms from PIL images, workers, smoothed labels, a schedule in steps."""
    preset = v2.Compose([v2.ToPILImage(), v2.RandomHorizontalFlip(0.1), v2.PILToTensor(), TRAIN])
    data = Pictures(train, preset)
    loader = DataLoader(data, 8, sampler=torch.utils.data.RandomSampler(data), num_workers=2)
    model, device = factory(), torch.device("cpu")
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.1)
    for _ in range(2):
        train_one_epoch(model, criterion, optimizer, loader, device)
        scheduler.step()
    return model, evaluate(model, DataLoader(Pictures(held_out, nn.Identity()), 16), device)


class Module(lightning.LightningModule):
    """A module of Lightning, whose metric logs itself."""

    def __init__(self) -> None:
        super().__init__()
        self.network = factory()
        self.pixel_index = PixelIndex(N, SIZE)

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        images, labels, _ = batch
        return nn.functional.cross_entropy(self.network(images), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor]) -> None:
        images, labels, ids = batch
        unchanged = self.network(NORMALISE(images))
        for draw in range(DRAWS):
            scores = self.network(NORMALISE(TEST(images, ids=ids, draw=draw)))
            self.pixel_index.update(scores, labels, ids=ids, draw=draw, unchanged=unchanged)
        self.log("pi", self.pixel_index, on_epoch=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)


def with_lightning(train: ImageSet, held_out: ImageSet) -> tuple[nn.Module, PixelIndex]:
    module = Module()
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    validation = DataLoader(Pictures(held_out, nn.Identity()), 16)
    with warnings.catch_warnings():  # it would have more workers, and fewer for so few batches
        warnings.simplefilter("ignore")
        trainer.fit(module, DataLoader(Pictures(train, TRAIN), 8, shuffle=True), validation)
        (logged,) = trainer.validate(module, validation, verbose=False)
    assert logged["pi"] == pytest.approx(float(trainer.callback_metrics["pi"]))
    metric = evaluate(module.network, validation, torch.device("cpu"))
    assert logged["pi"] == pytest.approx(metric.summary()["pi"])
    return module.network, metric


def plain(train: ImageSet, held_out: ImageSet) -> tuple[nn.Module, PixelIndex]:
    """A batch at a time, the transform on whole batches, ids that key the draw of each epoch."""
    network, harden = factory(), SmallDistance(HARDENED, "stuck", seed=5)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for epoch in range(2):
        for images, labels, ids in DataLoader(Pictures(train, nn.Identity()), 8, shuffle=True):
            changed = harden(images.float() / 255, ids=ids, draw=epoch)
            loss = nn.functional.cross_entropy(network(NORMALISE(changed)), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    held = DataLoader(Pictures(held_out, nn.Identity()), 7)
    return network, evaluate(network, held, torch.device("cpu"))


def only_stuck(content: dict[str, Any]) -> None:
    """The toy with weights of a person's own, one experiment and nothing to compare with."""
    content["baselines"]["baseline"] |= {"weights": "own.pt", "epochs": 0}
    content["finetune"]["arms"], content["models"] = {}, {"baseline": {"origin": "baseline"}}
    kept = ("draws", "batch_size", "stuck", "protocols")
    asked = {key: one if key in kept else None for key, one in content["evaluate"].items()}
    content["evaluate"] = asked | {"protocols": ["held_out"], "transfer_fgsm": False}
    content["evaluate"]["stuck"]["n"] = [N]
    content["compare"]["reference"]["n"] = N
    content["compare"]["control"] = content["gate"] = None


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its images and draws."""
    with pytest.MonkeyPatch.context() as patch:
        root = enter_project(tmp_path_factory.mktemp("loops"), patch)
        params = write_params(root / "params.yaml", only_stuck)
        for stage in ("select", "generate"):
            execute(stage, params)
    return root


@pytest.fixture
def here(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(drawn, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def images_of(split: str) -> ImageSet:
    return load_images(Path("artifacts/images"), split, load_params().select)


def test_the_draws_are_those_of_the_pipeline(here: Path) -> None:
    images = images_of("held_out")
    stored = load_change_set(Path("artifacts/changes/test"), "stuck", images)
    pixels = images.pixels.copy()
    for draw in range(DRAWS):
        wanted = apply_changes(pixels, stored.take(slice(None), draw, N))
        changed = TEST(torch.from_numpy(pixels), ids=images.ids, draw=draw)
        assert torch.equal(changed, torch.from_numpy(wanted))


@pytest.mark.parametrize("loop", [after_torchvision, with_lightning, plain])
def test_a_loop_measures_what_the_pipeline_measures(
    here: Path, loop: Callable[[ImageSet, ImageSet], tuple[nn.Module, PixelIndex]]
) -> None:
    torch.manual_seed(1)
    network, metric = loop(images_of("train"), images_of("held_out"))
    torch.save(network.state_dict(), "own.pt")
    for stage, item in (("baseline", "baseline"), ("evaluate", "baseline"), ("compare", None)):
        execute(stage, load_params(), item)
    results = pd.read_csv("metrics/results.csv")
    (row,) = results[(results["experiment"] == "stuck") & (results["n"] == N)].to_dict("records")
    figures = metric.summary()
    assert figures["wrong"] > 0, "else there is little to agree on"
    assert figures == pytest.approx({name: row[name] for name in figures})
