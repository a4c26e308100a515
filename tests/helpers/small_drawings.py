"""A made-up data set of few classes for tests, as arrays and as a packed file."""

from pathlib import Path

import numpy as np

BACKGROUND, EVALUATION = 3, 2
CLASSES = BACKGROUND + EVALUATION

Arrays = dict[str, np.ndarray]


def make(seed: int = 0, alphabet: str = "Greek") -> Arrays:
    rng = np.random.default_rng(seed)
    return {
        "images": rng.choice(np.array([0, 0, 0, 255], np.uint8), (CLASSES, 20, 28, 28)),
        "character_id": np.arange(1, CLASSES + 1, dtype=np.int32),
        "alphabet": np.repeat([alphabet], CLASSES),
        "character": np.array([f"character{i:02d}" for i in range(1, CLASSES + 1)]),
        "split": np.repeat(["background", "evaluation"], [BACKGROUND, EVALUATION]),
    }


def save(path: Path, **entries: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **entries)
    return path
