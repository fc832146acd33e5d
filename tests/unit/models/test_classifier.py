import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import pixelproof
from pixelproof.errors import DataError, IntegrityError, ParameterError
from pixelproof.models.architectures import find_architecture
from pixelproof.models.baseline import open_classifier
from pixelproof.models.classifier import Classifier
from pixelproof.models.loading import load_classifier
from pixelproof.models.metadata import seen_images
from pixelproof.models.network import final_layer
from pixelproof.models.storage import save_classifier
from pixelproof.params.baselines import Baseline
from tests.conftest import no_room_beyond, write_params

CLASSES = ("bad", "good")
TINY = "python:tests.support.tiny_network:factory"
PAPER = ["resnet101", "densenet121", "vgg16", "alexnet", "squeezenet1_1"]
OTHERS = ["mobilenet_v3_small", "efficientnet_b0", "vit_b_32", "convnext_tiny", "swin_t"]


def images(count: int = 2, size: int = 64) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)


def tiny(**keys: Any) -> Classifier:
    return open_classifier(Baseline(TINY, weights="none", **keys), CLASSES, "one").eval()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_lite_networks_carry_their_weights(number: int) -> None:
    baseline = Baseline(f"efficientnet_lite{number}")
    classifier = open_classifier(baseline, ("tench", "goldfish"), "one").eval()
    assert len(classifier.classes) == 1000, "the head knows these classes and is kept"
    assert classifier.targets(("goldfish", "tench")).tolist() == [1, 0]
    batch = images()
    with torch.inference_mode():
        logits = classifier(batch)
        # The weights expect (x - 127) / 128 of values from 0 to 255.
        plain = classifier.network((batch.float() - 127) / 128)
    assert logits.shape == (2, 1000)
    assert torch.allclose(logits, plain, atol=1e-3)


@pytest.mark.parametrize("name", [*PAPER, *OTHERS])
def test_torchvision_classifiers_get_a_head_for_the_data(name: str) -> None:
    size = 224 if name == "vit_b_32" else 64
    baseline = Baseline(f"torchvision:{name}", weights="none", epochs=1)
    classifier = open_classifier(baseline, ("a", "b", "c"), "one").eval()
    with torch.inference_mode():
        assert classifier(images(1, size)).shape == (1, 3)
    _, head = final_layer(classifier.network, 3)
    trained = classifier.set_trainable("head")
    assert {id(one) for one in trained} == {id(one) for one in head.parameters()}


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_heads_are_left_out(name: str) -> None:
    baseline = Baseline(f"torchvision:{name}", weights="none", epochs=1)
    classifier = open_classifier(baseline, CLASSES, "one").train()
    assert classifier(images(2, 96)).shape == (2, 2)


def test_one_step_of_resnet101_on_the_cpu() -> None:
    baseline = Baseline("torchvision:resnet101", weights="none", epochs=1)
    classifier = open_classifier(baseline, CLASSES, "one").train()
    optimizer = torch.optim.SGD(classifier.set_trainable("whole"), 0.001, momentum=0.9)
    before = classifier.network.fc.weight.clone()  # type: ignore[union-attr, operator]
    loss = torch.nn.functional.cross_entropy(classifier(images(2)), torch.tensor([0, 1]))
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    assert loss.isfinite()
    assert not torch.equal(before, classifier.network.fc.weight)  # type: ignore[union-attr, arg-type]


def test_weights_that_cannot_be_had_name_the_file_and_the_option(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing answers there
    with pytest.raises(DataError, match=r"squeezenet1_1-.*\.pth cannot be had .*`weights`"):
        open_classifier(Baseline("torchvision:squeezenet1_1"), CLASSES, "one")


def test_uint8_and_unit_floats_agree_and_others_are_refused() -> None:
    classifier, batch = tiny(), images(size=16)
    assert torch.equal(classifier(batch), classifier(batch.float() / 255))
    for wrong in (batch[0], batch[:, :1], batch.to(torch.int32)):
        with pytest.raises(ValueError, match="expected"):
            classifier(wrong)


def test_images_of_another_size_are_told_which_is_wanted() -> None:
    classifier = tiny()
    classifier(images(size=32))
    classifier.side = 16
    with pytest.raises(ValueError, match=r"expected images \(B, 3, 16, 16\), as it was trained on"):
        classifier(images(size=32))
    assert classifier(images(0, 16).float()).shape == (0, 2)


@pytest.mark.parametrize(
    "change", [lambda one: one * 255, lambda one: one - 0.5, lambda one: one / 0]
)
def test_floats_beyond_the_unit_interval_are_refused(change: Callable[[Tensor], Tensor]) -> None:
    unit = images(size=16).float() / 255
    with pytest.raises(ValueError, match=r"expected floats in \[0, 1\], got .*divide by 255"):
        tiny()(change(unit))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("efficientnet_lite9", "did you mean 'efficientnet_lite"),
        ("torchvision:resnet102", "did you mean 'resnet1"),
        ("resnet101", "did you mean 'torchvision:resnet101'"),
        ("python:tests.support.tiny_network", "python:package.module:factory"),
        ("python:no_such_module:factory", "cannot be imported"),
        ("python:tests.support.tiny_network:not_a_network", "expected an nn.Module"),
        ("python:tests.support.broken_network:factory", "cannot be imported.*no such size"),
        (
            "python:tests.support.tiny_network:failing",
            r"the factory raised ValueError\('no such size'\)",
        ),
    ],
)
def test_unknown_names(name: str, expected: str) -> None:
    with pytest.raises(ParameterError, match=expected):
        open_classifier(Baseline(name, weights="none"), CLASSES, "one")


def test_a_random_network_is_an_explicit_choice_and_seeded() -> None:
    with pytest.raises(ParameterError, match=r"baselines\.one\.weights: expected none or a file"):
        open_classifier(Baseline(TINY), CLASSES, "one")
    states = [tiny(seed=seed).network.state_dict()["head.weight"] for seed in (1, 1, 2)]
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


class TestHead:
    def test_kept_where_all_classes_are_known_by_name(self) -> None:
        classifier = tiny(classes=("good", "bad"), epochs=0)
        assert classifier.classes == ("good", "bad")
        assert classifier.targets(CLASSES).tolist() == [1, 0], "by name, not by order"

    def test_new_where_a_class_is_unknown(self) -> None:
        baseline = Baseline(
            "python:tests.support.tiny_network:three_classes", "none", classes=("x", "y", "z")
        )
        classifier = open_classifier(baseline, CLASSES, "one")
        assert classifier.classes == CLASSES
        assert classifier(images(size=16)).shape == (2, 2)

    def test_new_and_untrained_is_refused(self) -> None:
        with pytest.raises(ParameterError, match=r"baselines\.one\.epochs: expected 1 or more"):
            tiny(classes=("x", "y"), epochs=0)

    def test_keep_insists(self) -> None:
        with pytest.raises(DataError, match=r"the classes are x, y; no match for bad, good"):
            tiny(classes=("x", "y"), head="keep")

    def test_a_class_among_unknown_ones_looks_like_a_slip(self) -> None:
        with pytest.raises(DataError, match=r"no match for good.*; since bad is known: mend"):
            tiny(classes=("bad", "goood"), epochs=3)
        assert tiny(classes=("bad", "goood"), epochs=3, head="new").classes == CLASSES

    def test_a_name_that_imagenet_happens_to_have_is_no_slip(self) -> None:
        ten = ("ankle_boot", "bag", "coat", "dress", "pullover", "sandal", "shirt", "sneaker")
        said: list[str] = []
        published = open_classifier(Baseline("efficientnet_lite0"), ten, "one", said.append)
        assert published.classes == ten
        assert published.source["head_because"] in said[0]
        assert said[0].endswith("of ImageNet's thousand classes they have sandal alone")
        with pytest.raises(DataError, match=r"sandal is known: mend .* or give `epochs` of 1"):
            open_classifier(Baseline("efficientnet_lite0", epochs=0), ten, "one")

    def test_a_kept_head_is_not_told_of(self) -> None:
        said: list[str] = []
        own = Baseline(TINY, weights="none", classes=CLASSES)
        assert open_classifier(own, CLASSES, "one", said.append).source.get("head") is None
        assert said == []

    def test_numbers_stand_for_classes_only_where_they_are_as_many(self) -> None:
        baseline = Baseline(
            "python:tests.support.tiny_network:three_classes", "none", classes=tuple("xyz")
        )
        assert open_classifier(baseline, ("0", "1", "2"), "one").classes == tuple("xyz")
        assert open_classifier(baseline, ("0", "1"), "one").classes == ("0", "1")

    def test_a_wrong_number_of_classes(self) -> None:
        baseline = Baseline("python:tests.support.tiny_network:three_classes", "none")
        with pytest.raises(
            ParameterError, match=r"baselines\.one\.classes: expected the 3 classes"
        ):
            open_classifier(baseline, CLASSES, "one")


class TestFilesOfWeights:
    @pytest.mark.parametrize("wrap", [None, "state_dict", "model"])
    def test_a_state_dict(self, tmp_path: Path, wrap: str | None) -> None:
        state = {f"module.{key}": one for key, one in tiny(seed=7).network.state_dict().items()}
        torch.save({wrap: state} if wrap else state, tmp_path / "w.pt")
        found = open_classifier(Baseline(TINY, weights=str(tmp_path / "w.pt")), CLASSES, "one")
        expected = tiny(seed=7).network.state_dict()
        assert all(
            torch.equal(one, expected[key]) for key, one in found.network.state_dict().items()
        )

    def test_safetensors(self, tmp_path: Path) -> None:
        state = tiny(seed=7).network.state_dict()
        save_file({key: one.contiguous() for key, one in state.items()}, tmp_path / "w.safetensors")
        path = str(tmp_path / "w.safetensors")
        found = open_classifier(Baseline(TINY, weights=path), CLASSES, "one")
        expected = tiny(seed=7).network.state_dict()["head.weight"]
        assert torch.equal(found.network.state_dict()["head.weight"], expected)

    def test_published_weights_saved_to_a_file_bring_their_classes(self, tmp_path: Path) -> None:
        network = find_architecture("torchvision:squeezenet1_1").build(None)
        torch.save(network.state_dict(), tmp_path / "squeezenet.pth")
        baseline = Baseline("torchvision:squeezenet1_1", weights=str(tmp_path / "squeezenet.pth"))
        assert open_classifier(baseline, CLASSES, "one").classes == CLASSES, "a new head"
        kept = open_classifier(baseline, ("goldfish", "tench"), "one")
        assert len(kept.classes) == 1000

    def test_another_network(self, tmp_path: Path) -> None:
        torch.save({"other.weight": torch.zeros(1)}, tmp_path / "w.pt")
        with pytest.raises(DataError, match="not weights of this network: lacks features.weight"):
            open_classifier(Baseline(TINY, weights=str(tmp_path / "w.pt")), CLASSES, "one")

    def test_missing(self) -> None:
        with pytest.raises(DataError, match=r"nowhere\.pt: no such file of weights"):
            open_classifier(Baseline(TINY, weights="nowhere.pt"), CLASSES, "one")

    def test_code_in_a_pickle_does_not_run(self, tmp_path: Path) -> None:
        class Malicious:
            def __reduce__(self) -> tuple[Any, ...]:
                return (Path.touch, (tmp_path / "ran",))

        (tmp_path / "w.pt").write_bytes(pickle.dumps({"head.weight": Malicious()}))
        torch.save({"head.weight": Malicious()}, tmp_path / "v.pt")
        for name, why in (("w.pt", "it is no state dict"), ("v.pt", r"it names \S+")):
            with pytest.raises(IntegrityError, match=f"holding code: {why}; save") as raised:
                open_classifier(Baseline(TINY, weights=str(tmp_path / name)), CLASSES, "one")
            assert str(raised.value).isprintable(), "torch puts terminal escapes into its own"
        assert not (tmp_path / "ran").exists()


class TestModelFolder:
    def test_a_stored_classifier_answers_bit_for_bit(self, tmp_path: Path) -> None:
        classifier = tiny()
        classifier.side = 16
        save_classifier(classifier, tmp_path / "model", [3, 2**64 - 1])
        loaded = pixelproof.load(str(tmp_path / "model"), trust_code=True)
        batch = images(5, 16)
        assert torch.equal(loaded(batch), classifier(batch))
        assert not loaded.training
        assert (loaded.side, loaded.fit, loaded.classes) == (16, "stretch", CLASSES)
        assert seen_images(tmp_path / "model") == {3, 2**64 - 1}
        about = json.loads((tmp_path / "model" / "classifier.json").read_text())
        assert about["source"] == {"weights": "none", "seed": 1, "seen": "unknown"}

    def test_it_serves_as_a_baseline(self, project: Path) -> None:
        """Its code runs where `architecture` names it."""
        save_classifier(tiny(seed=5), project / "model", [])

        def opened(architecture: str | None) -> Classifier:
            content = {"classifier": "model", "architecture": architecture, "epochs": 0}
            change = {"baselines": {"baseline": content}}
            params = write_params(project / "params.yaml", lambda toy: toy.update(change))
            return open_classifier(params.baselines["baseline"], CLASSES, "baseline")

        for other in (None, "python:tests.support.tiny_network:three_classes"):
            with pytest.raises(IntegrityError, match=r"model: its network is code, python:tests"):
                opened(other)
        found = opened(TINY)
        expected = tiny(seed=5).network.state_dict()["head.weight"]
        assert torch.equal(found.network.state_dict()["head.weight"], expected)

    def test_a_factory_that_knows_one_number_of_classes_is_loaded(self, tmp_path: Path) -> None:
        baseline = Baseline(
            "python:tests.support.tiny_network:three_classes", "none", classes=("x", "y", "z")
        )
        classifier = open_classifier(baseline, CLASSES, "one").eval()
        save_classifier(classifier, tmp_path / "model", [])
        batch = images(2, 16)
        loaded = load_classifier(tmp_path / "model", trust_code=True)
        assert torch.equal(loaded(batch), classifier(batch))

    @pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
    def test_a_flipped_bit_is_refused(self, tmp_path: Path, share: float) -> None:
        save_classifier(tiny(), tmp_path / "model", [])
        path = tmp_path / "model" / "model.safetensors"
        data = bytearray(path.read_bytes())
        data[int(share * len(data))] ^= 1
        path.write_bytes(data)
        with pytest.raises(IntegrityError, match="damaged"):
            load_classifier(tmp_path / "model")

    def test_what_it_knows_and_has_seen_is_as_it_was_stored(self, tmp_path: Path) -> None:
        save_classifier(tiny(), tmp_path / "model", [3, 5])
        (tmp_path / "model" / "seen.txt").write_text(f"{3:016x}\n")
        with pytest.raises(IntegrityError, match=r"seen\.txt: damaged"):
            seen_images(tmp_path / "model")
        path = tmp_path / "model" / "classifier.json"
        path.write_text(path.read_text().replace('"good"', '"goof"'))
        for read in (load_classifier, seen_images):
            with pytest.raises(IntegrityError, match=r"classifier\.json: damaged"):
                read(tmp_path / "model")

    def test_a_full_disk_is_named_and_the_old_model_stays(self, tmp_path: Path) -> None:
        classifier = tiny()
        save_classifier(classifier, tmp_path / "model", [3])
        before = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
        with no_room_beyond(512), pytest.raises(DataError, match="model: cannot be written"):
            save_classifier(classifier, tmp_path / "model", [3, 5])
        assert before == {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}

    def test_no_model(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="expected a model folder with classifier.json"):
            load_classifier(tmp_path)


def test_targets_name_what_is_missing() -> None:
    with pytest.raises(DataError, match=r"the classes are bad, good; no match for ugly"):
        tiny().targets(["good", "ugly"])


@pytest.mark.parametrize(
    ("classes", "folders", "expected"),
    [
        (("1", "Good"), ("good", "1"), ("1", "good")),
        (("a", "b", "c"), ("a",), ("a", "b", "c")),
        (("a", "0", "c"), ("0", "2"), ("0", "0 (class 1)", "2")),  # by index: 0 is a
    ],
)
def test_outputs_are_called_as_the_data_calls_them(
    classes: tuple[str, ...], folders: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    classifier = Classifier(torch.nn.Identity(), "x", classes, (0, 0, 0), (1, 1, 1), {})
    assert classifier.names(folders) == expected


def test_gradients_reach_the_image() -> None:
    batch = (images(size=16).float() / 255).requires_grad_(True)
    tiny()(batch).sum().backward()
    assert batch.grad is not None
    assert np.isfinite(batch.grad.numpy()).all()
