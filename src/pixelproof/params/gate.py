"""The section `gate`: what a hardened model must show."""

from dataclasses import dataclass

from pixelproof.params.validation import NAME, require


@dataclass(frozen=True)
class Gate:
    """What a hardened model must show to take the place of the one in use.

    Attributes:
        name: Of the model in the registry.
        challenger: The arm that may be promoted, named before the run: to choose the best arm
            by the held-out images would be a selection on the test set.
        accuracy_margin: By how much of its clean accuracy a challenger may fall short.
        attack_margin: By how much more often attacks on itself may fool it.
        images: The fewest common images that decide anything.
        draws: How many fresh draws an image are measured.
        unknown_seen: Whether models are judged of which it is unknown what images they have seen.
    """

    challenger: str
    name: str = "pixelproof"
    accuracy_margin: float = 0.03
    attack_margin: float = 0.1
    images: int = 100
    draws: int = 8
    unknown_seen: bool = False

    def __post_init__(self) -> None:
        expected = "a name of a-z, 0-9, - and _"
        require(NAME.fullmatch(self.name) is not None, "name", expected, self.name)
        for key in ("accuracy_margin", "attack_margin"):
            margin = getattr(self, key)
            require(0 < margin < 1, key, "a share between 0 and 1", margin)
        require(self.images >= 1, "images", "a number from 1", self.images)
        require(self.draws >= 1, "draws", "a number from 1", self.draws)
