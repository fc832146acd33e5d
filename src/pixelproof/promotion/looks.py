"""The looks that the gate has taken at held-out images, kept as tags of the registered model.

Images that no look has used give level back: a look counts by the share of today's images that it
used.
"""

import math
from collections.abc import Mapping, Sequence

from pixelproof.errors import IntegrityError
from pixelproof.promotion.registry import Registry
from pixelproof.system import files

_LOOK, _IMAGES = "look.", "looked.at."  # how the tags of looks and of sets of images begin
# Of the ids of a set so many are kept as fit into a database's tag; as ids are hashes, the smallest
# of them are a random choice.
_KEPT = 300
_ID = 16  # characters of an id


class Looks:
    """The looks at one set of held-out images and at those before it."""

    def __init__(self, registry: Registry, images: Sequence[str]) -> None:
        """Name the images.

        Args:
            registry: Of the model, which keeps the looks.
            images: The ids of the held-out images.
        """
        self.registry = registry
        self.images = sorted(images)
        self.digest = files.content_hash(self.images)[:_ID]

    def number(self, key: str) -> float:
        """Which look one would be, or was: another try of the same look has its old number.

        Args:
            key: Of the look: the same draws, challenger and champion have the same.

        Raises:
            IntegrityError: A tag is not as it was written.
        """
        tags = self._tags()
        orders = self._orders(tags)
        own, _ = orders.get(key, (math.inf, ""))
        used = [digest for order, digest in orders.values() if order < own]
        shares = {digest: self._share(tags, digest) for digest in set(used)}
        return 1.0 + sum(shares[digest] for digest in used)

    def take(self, key: str) -> None:
        """Keep a look; one that is kept already stays as it is."""
        tags = self._tags()
        orders = self._orders(tags)
        if key in orders:
            return
        kept = self.images[:_KEPT]
        self._put(_IMAGES + self.digest, f"{len(self.images)} {''.join(kept)}")
        order = 1 + max((order for order, _ in orders.values()), default=0)
        self._put(_LOOK + key, f"{order:.0f} {self.digest}")

    def _tags(self) -> dict[str, str]:
        with self.registry.tracker.service() as client:
            models = client.search_registered_models(f"name = '{self.registry.name}'")
        return dict(models[0].tags) if models else {}

    def _put(self, key: str, value: str) -> None:
        name = self.registry.name
        with self.registry.tracker.service() as client:
            if not client.search_registered_models(f"name = '{name}'"):  # a dry run comes first
                client.create_registered_model(name)
            client.set_registered_model_tag(name, key, value)

    def _orders(self, tags: Mapping[str, str]) -> dict[str, tuple[float, str]]:
        """By its key, each look's place in the order and the digest of its images."""
        orders = {}
        for tag, value in tags.items():
            if tag.startswith(_LOOK):
                order, _, digest = value.partition(" ")
                if not (order.isdecimal() and _IMAGES + digest in tags):
                    raise self._odd(tag, value)
                orders[tag.removeprefix(_LOOK)] = (float(order), digest)
        return orders

    def _share(self, tags: Mapping[str, str], digest: str) -> float:
        """The share of today's images that are among those of a look."""
        if digest == self.digest:
            return 1.0
        tag = _IMAGES + digest
        total, _, text = tags[tag].partition(" ")
        ids = {text[at : at + _ID] for at in range(0, len(text), _ID)}
        if not (total.isdecimal() and text and len(text) % _ID == 0):
            raise self._odd(tag, tags[tag])
        whole = len(ids) == int(total)
        comparable = [image for image in self.images if whole or image <= max(ids)]
        return sum(image in ids for image in comparable) / max(1, len(comparable))

    def _odd(self, tag: str, value: str) -> IntegrityError:
        return IntegrityError(
            f"{self.registry.name}: expected its tag {tag} as pixelproof writes it, got "
            f"{value[:40]!r}; delete the tag in MLflow, and the look counts no more"
        )
