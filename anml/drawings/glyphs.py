"""The embedded drawings: invented alphabets, drawn by simulated writers. They are not Omniglot.

They let everything run where Omniglot is not at hand, and they are shaped like it: 1,623 characters
of 50 alphabets, 20 drawings each. Each alphabet has a random generator of its own, seeded by the
seed and its number, so any one can be drawn alone; all rasterising is integer arithmetic.
"""

import numpy as np
from tqdm import tqdm

from anml.drawings.glyph_alphabets import draw_alphabet
from anml.drawings.glyph_writers import Spread, draw_writers, ink, picture, write
from anml.errors import AnmlError

# Alphabets have the sizes of Omniglot's, in its order, so the two splits have Omniglot's sizes too.
BACKGROUND_SIZES = (
    *(26, 41, 40, 24, 46, 14, 26, 33, 22, 23, 29, 26, 43, 24, 48),
    *(22, 52, 16, 40, 47, 40, 26, 20, 41, 34, 33, 14, 42, 17, 55),
)
EVALUATION_SIZES = (20, 26, 26, 26, 26, 26, 45, 45, 41, 26, 47, 40, 30, 45, 46, 23, 28, 25, 42, 26)
SIZES = BACKGROUND_SIZES + EVALUATION_SIZES


def draw_one_alphabet(number: int, seed: int = 0, spread: Spread = Spread()) -> np.ndarray:  # noqa: B008
    """All drawings of one alphabet.

    Args:
        number: 0 to 49, the alphabet's place in SIZES.
        seed: any non-negative whole number.
        spread: how much writers vary.

    Returns:
        uint8 `[SIZES[number], 20, 28, 28]`, ink 255 on 0.

    Raises:
        AnmlError: when number or seed is out of range.
    """
    if not 0 <= number < len(SIZES):
        raise AnmlError(f"alphabet {number} is out of range: choose from 0 to {len(SIZES) - 1}")
    if seed < 0:
        raise AnmlError(f"seed {seed} is out of range: choose a whole number from 0")
    rng = np.random.default_rng([seed, number])
    _, characters = draw_alphabet(SIZES[number], rng)
    writers = draw_writers(rng, spread)
    return np.stack([picture(ink(write(c, writers, spread, rng), writers.pen)) for c in characters])


def draw(seed: int = 0, *, progress: bool = False) -> dict[str, np.ndarray]:
    """All 50 alphabets, in the format of `anml.drawings.packed`; about 15 seconds on one core.

    Args:
        seed: any non-negative whole number; the same seed gives the same bytes on any machine.
        progress: show a progress bar.

    Returns:
        `images` uint8 `[1623, 20, 28, 28]` (ink 255 on 0), `character_id` int32 `[1623]` (from 1),
        `alphabet`, `character` and `split` str `[1623]` (`background`: the first 964 characters,
        `evaluation`: the other 659; whole alphabets).

    Raises:
        AnmlError: when seed is out of range.
    """
    bar = tqdm(range(len(SIZES)), desc="drawing alphabets", disable=not progress)
    images = np.concatenate([draw_one_alphabet(number, seed) for number in bar])
    names = [f"Glyphs-{number:02d}" for number in range(1, len(SIZES) + 1)]
    splits = ["background", "evaluation"]
    return {
        "images": images,
        "character_id": np.arange(1, len(images) + 1, dtype=np.int32),
        "alphabet": np.repeat(names, SIZES),
        "character": np.array([f"character{i:02d}" for n in SIZES for i in range(1, n + 1)]),
        "split": np.repeat(splits, [sum(BACKGROUND_SIZES), sum(EVALUATION_SIZES)]),
    }
