"""Random numbers that are a pure function of what they belong to, and of nothing that ran before.

Each is keyed by (seed, image id, draw, step, word), so that what is drawn for an image depends on
no other image, on no batch, on no process and on no machine.
"""

import numpy as np
import numpy.typing as npt

UInt64 = npt.NDArray[np.uint64]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_WORDS = 4  # of a step


def _mix(state: UInt64) -> UInt64:
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014), a bijection of 64 bits."""
    state = state ^ (state >> np.uint64(30))
    state *= np.uint64(0xBF58476D1CE4E5B9)
    state ^= state >> np.uint64(27)
    state *= np.uint64(0x94D049BB133111EB)
    state ^= state >> np.uint64(31)
    return state


def image_keys(image_ids: UInt64, seed: int, draw: int) -> UInt64:
    """One 64-bit key for each image, chained so that seed, image and draw cannot cancel."""
    key = _mix(np.array([seed], dtype=np.uint64) + _GAMMA)
    key = _mix((key ^ image_ids) + _GAMMA)
    return _mix((key ^ np.uint64(draw)) + _GAMMA)


def random_words(keys: UInt64, n: int, word: int) -> UInt64:
    """Words (B, n), `word` from 0 to 3: step s of key k is SplitMix64 at counter 4 s + word + 1."""
    counters = np.arange(n, dtype=np.uint64) * np.uint64(_WORDS) + np.uint64(word + 1)
    return _mix(keys[:, None] + counters * _GAMMA)


def unit_floats(words: UInt64) -> npt.NDArray[np.float64]:
    """Map words to [0, 1): the high 53 bits, which fill a float."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def below(words: UInt64, bounds: UInt64 | np.uint64) -> npt.NDArray[np.int64]:
    """Map words to 0..bound-1: the high half of the 128-bit product; bias below 2**-32."""
    low = (words & np.uint64(0xFFFFFFFF)) * bounds
    high = (words >> np.uint64(32)) * bounds
    high += low >> np.uint64(32)
    high >>= np.uint64(32)
    return high.astype(np.int64)
