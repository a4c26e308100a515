"""The drawings: where they come from, and how they are divided for meta-testing.

`load` finds them: real Omniglot from a packed file, or the embedded drawings. Nothing here ever
downloads anything; that is `anml data fetch`.
"""

import hashlib
import os
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from anml.drawings.packed import (
    DRAWINGS_PER_CLASS,
    OMNIGLOT_FINGERPRINT,
    SOURCES,
    Drawings,
    from_arrays,
    read_packed,
    write_packed,
)
from anml.errors import AnmlError

if TYPE_CHECKING:
    import torch

__all__ = [
    "Drawings",
    "as_input",
    "cache_folder",
    "describe",
    "fetched_path",
    "load",
    "locate",
    "split_drawings",
]

# Seconds matter here: pages of results import this module, so torch is imported where it is used.

NOTICE = (
    "NOTICE: no Omniglot found, using the EMBEDDED DRAWINGS (procedural stand-ins, NOT Omniglot). "
    "For the real data: `anml data fetch`, or set ANML_DATA to a packed .npz."
)


def cache_folder() -> Path:
    """Where fetched and drawn data are kept: `ANML_CACHE`, or `~/.cache/anml`."""
    return Path(os.environ.get("ANML_CACHE") or "~/.cache/anml").expanduser()


def fetched_path() -> Path:
    """Where `anml data fetch` puts the packed Omniglot."""
    return cache_folder() / "omniglot28.npz"


def locate(data: str | Path = "auto") -> Path | None:
    """The packed file that `data` stands for, or None for the embedded drawings.

    Args:
        data: 'auto' (`ANML_DATA` if set, else the fetched file, else the embedded drawings),
            'omniglot' (the same without the last), 'glyphs' (the embedded drawings), or a path.

    Raises:
        AnmlError: there is no such file, or 'omniglot' is asked for and there is none.
    """
    if data == "glyphs":
        return None
    if data not in ("auto", "omniglot"):
        return _existing(data, f"no drawings {str(data)!r}")
    if configured := os.environ.get("ANML_DATA"):
        return _existing(configured, f"ANML_DATA is {configured!r}, which does not exist")
    if fetched_path().exists():
        return fetched_path()
    if data == "auto":
        return None
    raise AnmlError(
        "no Omniglot found: run `anml data fetch` to download it, or set ANML_DATA to a packed "
        ".npz, or use the embedded drawings with data 'glyphs'"
    )


def _existing(name: str | Path, otherwise: str) -> Path:
    path = Path(name).expanduser()
    if not path.exists():
        raise AnmlError(
            f"{otherwise}: choose 'auto', 'omniglot', 'glyphs' (the embedded drawings) or the path "
            "of a packed .npz, or get Omniglot with `anml data fetch`"
        )
    return path


def load(data: str | Path = "auto") -> Drawings:
    """Load the drawings that `data` stands for (see `locate`).

    'auto' says so on stderr, once, when it falls back on the embedded drawings.

    Raises:
        AnmlError: the file is missing, damaged, altered or of another kind, or 'omniglot' is asked
            for and what is found is not Omniglot.
    """
    path = locate(data)
    if path is None:
        if data == "auto":
            _say_once(NOTICE)
        return _glyphs()
    drawings = read_packed(path)
    if data == "omniglot" and drawings.source != "omniglot":
        raise AnmlError(
            f"{path} holds {SOURCES[drawings.source]}: set ANML_DATA to a packed Omniglot, or "
            "unset it and run `anml data fetch`"
        )
    return drawings


def _glyphs() -> Drawings:
    """The embedded drawings, from the cache if this version of the generator drew them before."""
    from anml.drawings import glyphs

    path = cache_folder() / f"glyphs-{_version(Path(glyphs.__file__))}.npz"
    if path.exists():
        try:
            return read_packed(path)
        except AnmlError as error:
            _say_once(f"{error} (drawing the embedded drawings anew)")
    drawings = from_arrays(
        glyphs.draw(seed=0, progress=True), "glyphs", "what anml.drawings.glyphs.draw made"
    )
    try:
        write_packed(path, drawings)
    except AnmlError as error:
        _say_once(f"{error} (the embedded drawings are drawn anew each time until then)")
    return drawings


def _version(generator: Path) -> str:
    """8 hex digits that change with the generator's code and with numpy, whose random numbers it
    draws."""
    digest = hashlib.sha256(np.__version__.encode())
    for source in sorted(generator.parent.glob("glyph*.py")):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()[:8]


@cache
def _say_once(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def split_drawings(
    n_train: int = 15,
    *,
    how: Literal["shuffled", "first"] = "shuffled",
    rng: np.random.Generator | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Divide one class's 20 drawings: which to train on, which to test on, at meta-test.

    Args:
        n_train: 1 to 19; the paper's 15.
        how: 'shuffled' draws them at random with `rng`, anew at each call; 'first' trains on the
            first writers (1 to 15), as the released code does.
        rng: the source of randomness, needed for 'shuffled'.

    Returns:
        Indices along the drawings' axis: int64 [n_train] and int64 [20 - n_train], disjoint.

    Raises:
        AnmlError: `n_train` or `how` out of range, or 'shuffled' without `rng`.
    """
    if not 1 <= n_train < DRAWINGS_PER_CLASS:
        raise AnmlError(f"n_train is {n_train}: it must be 1 to {DRAWINGS_PER_CLASS - 1}")
    if how == "first":
        order = np.arange(DRAWINGS_PER_CLASS)
    elif how == "shuffled" and rng is not None:
        order = rng.permutation(DRAWINGS_PER_CLASS)
    elif how == "shuffled":
        raise AnmlError("a shuffled split needs rng, for example numpy.random.default_rng(seed)")
    else:
        raise AnmlError(f"unknown split {how!r}: it must be 'shuffled' or 'first'")
    return order[:n_train], order[n_train:]


def as_input(images: np.ndarray) -> "torch.Tensor":
    """Make drawings the networks' input: uint8 [..., 28, 28] to float32 [..., 1, 28, 28] in [0, 1].

    Raises:
        AnmlError: not uint8, so that nothing is scaled twice.
    """
    import torch

    if images.dtype != np.uint8:
        raise AnmlError(f"as_input takes uint8 drawings (0 to 255), not {images.dtype}")
    return torch.from_numpy(images[..., None, :, :].astype(np.float32) / 255)


def describe(drawings: Drawings, path: Path | None) -> str:
    """What `anml data info` prints: source, file, fingerprint, counts, splits; several lines."""
    mark = drawings.fingerprint
    if drawings.source == "omniglot":
        same = drawings.fingerprint == OMNIGLOT_FINGERPRINT
        mark += (
            " (the reference drawings of the recorded results)"
            if same
            else f" (NOT the reference drawings of the recorded results, {OMNIGLOT_FINGERPRINT})"
        )
    classes, per_class, height, width = drawings.images.shape
    alphabets = len(set(drawings.alphabet.tolist()))
    rows = {
        "source": SOURCES[drawings.source],
        "file": path or "none, drawn by this package",
        "fingerprint": mark,
        "drawings": f"{classes} classes x {per_class} drawings, {height} x {width} pixels",
        "alphabets": alphabets,
        "meta-train": f"{len(drawings.meta_train)} classes",
        "meta-test": f"{len(drawings.meta_test)} classes",
    }
    return "\n".join(f"{name:<12} {value}" for name, value in rows.items())
