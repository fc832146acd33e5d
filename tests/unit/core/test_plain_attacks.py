"""Attacks against slow plain versions, written from their papers, and against foolbox."""

from statistics import NormalDist

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor, nn

from pixelproof.core.attacks.apgd import apgd
from pixelproof.core.attacks.carlini_wagner import carlini_wagner
from pixelproof.core.attacks.deepfool import deepfool
from pixelproof.core.attacks.distances import Distances, distances
from pixelproof.core.attacks.fab import fab, project
from pixelproof.core.attacks.integer_grid import to_integers
from pixelproof.core.attacks.jsma import jsma
from pixelproof.core.attacks.one_pixel import one_pixel
from pixelproof.core.attacks.pgd import pgd
from pixelproof.core.attacks.starts import uniform
from pixelproof.core.counter_random import image_keys, random_words
from tests.unit.core.test_attacks import IDS, SIDE, Small, batch

IMPORTED = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what foolbox imports


class Network(nn.Module):
    """Two convolutions, for what a straight network would not tell apart."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.second = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.last = nn.Linear(16 * SIDE * SIDE // 16, 3)

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.relu(self.second(torch.relu(self.first(4 * images - 2))))
        logits: Tensor = 4 * self.last(hidden.flatten(1))
        return logits


def lead(logits: Tensor, label: int) -> float:
    others = [float(one) for at, one in enumerate(logits) if at != label]
    return float(logits[label]) - max(others)


def slopes(model: nn.Module, image: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The logits of one image of floats, and the gradient of each."""
    leaf = image.detach().clone().requires_grad_(True)
    logits = model(leaf[None])[0]
    gradients = [torch.autograd.grad(one, leaf, retain_graph=True)[0] for one in logits]
    return logits.detach(), gradients


def entropy_slope(model: nn.Module, image: Tensor, label: int) -> tuple[float, Tensor, Tensor]:
    """The cross-entropy of one image, its gradient, and the logits."""
    leaf = image.detach().clone().requires_grad_(True)
    logits = model(leaf[None])[0]
    loss = -torch.log_softmax(logits, dim=0)[label]
    return loss.item(), torch.autograd.grad(loss, leaf)[0], logits.detach()


def test_pgd() -> None:
    epsilon, steps, restarts, model = 3, 4, 3, Small(3).eval()
    images, labels = batch(model)
    found = pgd(model, images, labels, IDS, epsilon, steps, restarts, seed=5)
    for row, (image, label) in enumerate(zip(images.int(), labels.tolist(), strict=True)):
        tried: list[tuple[float, Tensor]] = [(lead(model(image[None] / 255)[0], label), image)]
        for restart in range(restarts):
            drawn = uniform(IDS[row : row + 1], images[row : row + 1], 5, 2**42 + restart)[0]
            current = image + (drawn * (2 * epsilon + 1)).floor().int() - epsilon
            for step in range(steps + 1):
                if step:
                    gradient = entropy_slope(model, current / 255, label)[1]
                    current = current + gradient.sign().int() * 2  # 2.5 · 3 / 4, rounded
                current = torch.clamp(current, image - epsilon, image + epsilon).clamp(0, 255)
                tried.append((lead(model(current[None] / 255)[0], label), current))
            if min(one[0] for one in tried) < 0:
                break
        best = min(tried, key=lambda one: np.float32(one[0]))[1]
        assert torch.equal(found[row].int(), best), row


def plain_apgd(
    model: nn.Module, image: Tensor, label: int, start: Tensor, radius: float, steps: int
) -> tuple[Tensor, bool]:
    """Algorithm 1 of Croce and Hein with the cross-entropy, for one image."""

    def project(x: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(x, image - radius), image + radius).clamp(0, 1)

    points, share = [0.0, 0.22], 0.0
    while share < 1:
        share = points[-1] + max(points[-1] - points[-2] - 0.03, 0.06)
        points.append(share)
    checks = [int(np.ceil(round(point * steps, 6))) for point in points]
    x, size = project(start), 2 * radius
    value, gradient, logits = entropy_slope(model, x, label)
    before, best, best_value, best_gradient = x, x, value, gradient
    values, sizes, bests = [value], [size], [value]
    if logits.argmax() != label:
        return x, True
    for k in range(steps):
        z = project(x + size * gradient.sign())
        new = z if k == 0 else project(x + 0.75 * (z - x) + 0.25 * (x - before))
        before, x = x, new
        value, gradient, logits = entropy_slope(model, x, label)
        if logits.argmax() != label:
            return x, True
        values.append(value)
        if value > best_value:
            best, best_value, best_gradient = x, value, gradient
        if k + 1 in checks[1:]:
            begin = checks[checks.index(k + 1) - 1]
            rises = sum(values[at + 1] > values[at] for at in range(begin, k + 1))
            same = len(sizes) > 1 and sizes[-1] == sizes[-2] and bests[-1] == best_value
            if rises <= 0.75 * (k + 1 - begin) or same:
                size, x, gradient = size / 2, best, best_gradient
            sizes.append(size)
            bests.append(best_value)
    return best, False


def test_apgd() -> None:
    epsilon, steps, model = 2, 50, Small(3).eval()
    images, labels = batch(model)
    found = apgd(model, images, labels, IDS, epsilon, steps, 1, "ce", seed=5)
    fooled = 0
    for row in range(len(images)):
        image = images[row].float() / 255
        drawn = uniform(IDS[row : row + 1], images[row : row + 1], 5, 2**44)[0]
        start = image + epsilon / 255 * (2 * drawn - 1).float()
        expected, hit = plain_apgd(model, image, int(labels[row]), start, epsilon / 255, steps)
        torch.testing.assert_close(found[row], expected, rtol=0, atol=1e-6)
        fooled += hit
    assert 0 < fooled < len(images), "both ways out are seen"


def test_deepfool() -> None:
    model = Small(3).eval()
    images, labels = batch(model)
    found = deepfool(model, images, labels)
    for row, label in enumerate(labels.tolist()):
        image, moved = images[row].float() / 255, torch.zeros(images[row].shape)
        for _ in range(50):
            current = (image + 1.02 * moved).clamp(0, 1)
            logits, gradients = slopes(model, current)
            if logits.argmax() != label:
                break
            ways = []
            for other in {0, 1, 2} - {label}:
                direction = gradients[other] - gradients[label]
                distance = float(logits[label] - logits[other]) / float(direction.norm())
                ways.append((distance, direction))
            distance, direction = min(ways, key=lambda way: way[0])
            moved = moved + (distance + 1e-4) * direction / direction.norm()
        torch.testing.assert_close(found[row], current, rtol=0, atol=1e-5)


def saliency(image: Tensor, wanted: Tensor, rest: Tensor, where: tuple[int, int]) -> float:
    """That of a pixel: the sum over the channels that have room to change."""
    total = 0.0
    for at in [(channel, *where) for channel in range(3)]:
        up, down = float(wanted[at]), float(rest[at])
        if up * down < 0 and image[at] != (255 if up > 0 else 0):
            total += abs(up * down)
    return total


def test_jsma() -> None:
    n, model = 4, Small(3).eval()
    images, labels = batch(model)
    found = jsma(model, images, labels, n)
    for row, label in enumerate(labels.tolist()):
        image, changed = images[row].clone(), set()
        first = model(image[None] / 255)[0]
        target = max({0, 1, 2} - {label}, key=lambda one: float(first[one]))
        for _ in range(n):
            if model(image[None] / 255)[0].argmax() != label:
                break
            _, gradients = slopes(model, image / 255)
            wanted = gradients[target]
            rest = torch.stack(gradients).sum(dim=0) - wanted
            pixels = [(y, x) for y in range(SIDE) for x in range(SIDE) if (y, x) not in changed]
            best, where = max((saliency(image, wanted, rest, at), at) for at in pixels)
            if best == 0:
                break
            changed.add(where)
            for channel in range(3):
                at = (channel, *where)
                if float(wanted[at]) * float(rest[at]) < 0:
                    image[at] = 255 if wanted[at] > 0 else 0
        assert torch.equal(found[row], image), row


class PlainEvolution:
    """Differential evolution on one image, candidate by candidate."""

    def __init__(self, row: int, size: int, n: int, seed: int) -> None:
        self.keys = [image_keys(IDS[row : row + 1], seed, 2**43 + part) for part in range(40)]
        self.size, self.n = size, n

    def word(self, stream: int, count: int, at: int, number: int) -> int:
        return int(random_words(self.keys[stream], count, number)[0, at])

    def first(self) -> list[list[list[float]]]:
        candidates = []
        for member in range(self.size):
            genes = []
            for pixel in range(self.n):
                at, count = member * self.n + pixel, self.size * self.n
                gene = [SIDE * (self.word(0, count, at, axis) >> 11) / 2**53 for axis in (0, 1)]
                for channel in range(3):
                    share = (self.word(1, count, at, channel) >> 11) / 2**53
                    gene.append(min(255.0, max(0.0, NormalDist(128, 127).inv_cdf(share))))
                genes.append(gene)
            candidates.append(genes)
        return candidates

    def mates(self, generation: int, member: int) -> list[int]:
        free, chosen = list(range(self.size)), []
        for number in range(3):
            word = self.word(1 + generation, self.size, member, number)
            chosen.append(free.pop((word * len(free)) >> 64))
        return chosen

    def child(self, parents: list[list[list[float]]], chosen: list[int]) -> list[list[float]]:
        ends = (SIDE - 1, SIDE - 1, 255, 255, 255)
        a, b, c = (parents[one] for one in chosen)
        return [
            [min(end, max(0.0, x + (y - z) / 2)) for x, y, z, end in zip(*genes, ends, strict=True)]
            for genes in zip(a, b, c, strict=True)
        ]


def painted(image: Tensor, genes: list[list[float]]) -> Tensor:
    changed = image.clone()
    for row, column, *values in genes:
        changed[:, int(row), int(column)] = torch.tensor([round(one) for one in values])
    return changed


def test_one_pixel() -> None:
    n, queries, model = 2, 60, Small(3).eval()
    images, labels = batch(model)
    found, fooled = one_pixel(model, images, labels, IDS, n, queries, seed=9), 0
    for row, label in enumerate(labels.tolist()):
        evolution = PlainEvolution(row, 6, n, 9)
        parents = evolution.first()
        leads = [np.float32(lead(model(painted(images[row], one)[None] / 255.0)[0], label))
                 for one in parents]  # fmt: skip
        for generation in range(1, 10):
            if min(leads) < 0:
                fooled += 1
                break
            tried = [evolution.child(parents, evolution.mates(generation, at)) for at in range(6)]
            for at, genes in enumerate(tried):
                score = np.float32(lead(model(painted(images[row], genes)[None] / 255.0)[0], label))
                if score < leads[at]:
                    parents[at], leads[at] = genes, score
        best = painted(images[row], parents[int(np.argmin(leads))])
        assert torch.equal(found[row], best), row
    assert 0 < fooled < len(images)


@pytest.fixture(scope="module")
def network() -> tuple[nn.Module, Tensor, Tensor]:
    model = Network().eval().requires_grad_(False)
    images = torch.randint(0, 256, (16, 3, SIDE, SIDE), generator=torch.manual_seed(3))
    images = images.to(torch.uint8)
    return model, images, model(images / 255).argmax(dim=1)


def foolbox_distances(
    network: tuple[nn.Module, Tensor, Tensor], name: str, **setting: float
) -> Distances:
    """How far foolbox's examples lie from their images; all fool."""
    from foolbox import attacks
    from foolbox.models.pytorch import PyTorchModel

    model, images, labels = network
    wrapped = PyTorchModel(model, bounds=(0, 1), device="cpu")
    attack = getattr(attacks, name)(**setting)
    examples, _, fooled = attack(wrapped, images / 255, labels, epsilons=None)
    assert fooled.all()
    return distances(images, examples)


@IMPORTED
def test_deepfool_goes_as_far_as_that_of_foolbox(
    network: tuple[nn.Module, Tensor, Tensor],
) -> None:
    lengths = distances(network[1], deepfool(*network)).l2
    theirs = foolbox_distances(network, "L2DeepFoolAttack").l2
    torch.testing.assert_close(lengths, theirs, rtol=0.05, atol=0.05)
    assert lengths.mean() == pytest.approx(float(theirs.mean()), rel=0.01)


@IMPORTED
def test_carlini_and_wagner_go_no_further_than_those_of_foolbox(
    network: tuple[nn.Module, Tensor, Tensor],
) -> None:
    lengths = distances(network[1], carlini_wagner(*network, steps=100, searches=5)).l2
    setting = {"binary_search_steps": 5, "steps": 100, "initial_const": 0.01}
    theirs = foolbox_distances(network, "L2CarliniWagnerAttack", **setting).l2
    assert lengths.mean() == pytest.approx(float(theirs.mean()), rel=0.02)


@pytest.mark.parametrize("row", range(6))
def test_the_projection_of_fab_is_the_shortest(row: int) -> None:
    generator = torch.manual_seed(row)
    point = torch.rand((1, 1, 3, 4), generator=generator).round(decimals=row % 2)  # or a corner
    normal = torch.randn((1, 1, 3, 4), generator=generator)
    offset = (normal * torch.rand(point.shape, generator=generator)).sum()[None]
    step = project(point, normal, offset)
    assert float((normal * (point + step)).sum() - offset) == pytest.approx(0, abs=1e-5)
    assert ((point + step >= -1e-6) & (point + step <= 1 + 1e-6)).all()
    x, w = (one.flatten().double().numpy() for one in (point, normal))
    bounds = [(-value, 1 - value) for value in x]  # of the steps; then comes the largest of them
    halves = np.block([[np.eye(12), -np.ones((12, 1))], [-np.eye(12), -np.ones((12, 1))]])
    best = linprog(
        [0] * 12 + [1],
        A_ub=halves,
        b_ub=np.zeros(24),
        A_eq=[[*w, 0]],
        b_eq=[float(offset) - w @ x],
        bounds=[*bounds, (0, None)],
    )
    assert float(step.abs().max()) == pytest.approx(best.fun, abs=1e-6)


def test_the_projection_of_fab_stops_at_the_bounds() -> None:
    point, normal = torch.full((1, 1, 1, 2), 0.5), torch.ones((1, 1, 1, 2))
    assert project(point, normal, torch.tensor([9.0])).tolist() == [[[[0.5, 0.5]]]]
    assert project(point, 0 * normal, torch.tensor([0.0])).tolist() == [[[[0.0, 0.0]]]]


@IMPORTED
def test_fab_goes_less_far_than_deepfool_and_about_as_far_as_the_fast_minimum_norm_attack(
    network: tuple[nn.Module, Tensor, Tensor],
) -> None:
    model, images, labels = network
    ids = np.arange(len(images), dtype=np.uint64)
    far = distances(images, fab(model, images, labels, ids, 8, 100, 1)).linf
    simple = foolbox_distances(network, "LinfDeepFoolAttack").linf
    longest = foolbox_distances(network, "LInfFMNAttack", steps=200).linf
    assert (far > 0).all()
    assert far.mean() < simple.mean()
    assert far.mean() == pytest.approx(float(longest.mean()), rel=0.1)


def test_on_the_integer_grid_the_examples_fool_again(
    network: tuple[nn.Module, Tensor, Tensor],
) -> None:
    model, images, labels = network
    examples = deepfool(model, images, labels)
    rounded = (255 * examples).round().to(torch.uint8)
    fooled = model(rounded / 255).argmax(dim=1) != labels
    assert fooled.sum() < len(images)
    stored, _ = to_integers(model, images, labels, examples, "l2", 20_000)
    assert (model(stored / 255).argmax(dim=1) != labels).all()
    assert torch.equal(stored[fooled], rounded[fooled]), "what fools is left as it is"
    further = distances(images, stored).l2 / distances(images, examples).l2
    assert further.max() < 2


def test_on_the_integer_grid_nothing_leaves_its_budget(
    network: tuple[nn.Module, Tensor, Tensor],
) -> None:
    model, images, labels = network
    examples = deepfool(model, images, labels)
    budget = int(distances(images, examples).l2.median())
    stored, _ = to_integers(model, images, labels, examples, "l2", budget)
    rounded = (255 * examples).round().to(torch.uint8)
    pushed = (stored != rounded).flatten(1).any(dim=1)
    assert (distances(images, stored).l2[pushed] <= budget).all()
    clipped, _ = to_integers(model, images, labels, examples, "linf", 1)
    assert distances(images, clipped).linf.max() == 1
