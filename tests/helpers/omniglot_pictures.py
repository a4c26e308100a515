"""A small Omniglot for tests: folders of pictures as in the data set's own zip files."""

from pathlib import Path

import numpy as np
from PIL import Image

# Omniglot's numbers do not follow the names: the first character here is of the last alphabet.
CHARACTERS = {
    "background": {1: "Tifinagh/character01", 2: "Greek/character01", 3: "Greek/character02"},
    "evaluation": {4: "ULOG/character01", 5: "Angelic/character01"},
}


def drawing(number: int, writer: int) -> np.ndarray:
    """bool [105, 105], True for ink: a rectangle that says who drew what."""
    ink = np.zeros((105, 105), bool)
    ink[10 + writer : 40 + writer, 10 * number : 10 * number + 30] = True
    return ink


def write_pictures(root: Path) -> None:
    """The folders images_background and images_evaluation, as in the data set's zip files."""
    for split, characters in CHARACTERS.items():
        for number, name in characters.items():
            folder = root / f"images_{split}" / name
            folder.mkdir(parents=True)
            for writer in range(1, 21):
                picture = Image.fromarray(~drawing(number, writer))
                picture.save(folder / f"{number:04d}_{writer:02d}.png")
