"""The packed file of drawings (.npz): what it holds, how it is checked, read and written.

Entries: `images` uint8 [1623, 20, 28, 28] (ink 255 on 0), `character_id` int32 [1623], and
`alphabet`, `character`, `split` str [1623]. Two entries are optional: `source` ('omniglot', which
is assumed, or 'glyphs') and `fingerprint`, which must match the contents where it is given.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anml.errors import AnmlError
from anml.store.files import replacing

# The data set's own division into classes, in the order in which the file holds them.
SPLITS = {"background": 964, "evaluation": 659}
# The released code meta-trains on the first 963 of the 964 background classes; the paper's 963.
META_TRAIN_CLASSES = 963
DRAWINGS_PER_CLASS = 20
SIDE = 28

SOURCES = {
    "omniglot": "Omniglot",
    "glyphs": "embedded drawings (procedural, NOT Omniglot)",
}
# How the embedded alphabets' names begin; so marked, they cannot pass for Omniglot by accident.
GLYPHS_PREFIX = "Glyphs-"
# Of the 1,623 characters as the project's recorded results used them.
OMNIGLOT_FINGERPRINT = "f29ad7ed0d1b820e"

_LABELS = ("alphabet", "character", "split")
_ARRAYS = ("images", "character_id", *_LABELS)


@dataclass(frozen=True)
class Drawings:
    """All classes of one source, background classes first, each in the data set's own order.

    `images` uint8 [C, 20, 28, 28], ink 255 on 0; drawing j of a class is writer j + 1's.
    `character_id` int32 [C]; `alphabet`, `character`, `split` str [C], `split` being 'background'
    or 'evaluation'; `source` 'omniglot' or 'glyphs'; `fingerprint` 16 hex digits of a sha256 over
    all of these. C = 1623.
    """

    images: np.ndarray
    character_id: np.ndarray
    alphabet: np.ndarray
    character: np.ndarray
    split: np.ndarray
    source: str
    fingerprint: str

    @property
    def _background(self) -> int:
        return int(np.count_nonzero(self.split == "background"))

    @property
    def meta_train(self) -> np.ndarray:
        """The first 963 background classes, a view: uint8 [963, 20, 28, 28], as in the paper."""
        return self.images[: min(META_TRAIN_CLASSES, self._background)]

    @property
    def meta_test(self) -> np.ndarray:
        """The evaluation classes, a view: uint8 [659, 20, 28, 28]; the paper writes 660."""
        return self.images[self._background :]


def fingerprint(arrays: Mapping[str, np.ndarray], source: str) -> str:
    """16 hex digits of a sha256 over source and contents; independent of compression and padding.

    Names are hashed as UTF-8, so that the width of the string type does not matter.
    """
    digest = hashlib.sha256(source.encode())
    for name in ("images", "character_id"):
        kind = "|u1" if name == "images" else "<i4"
        array = np.ascontiguousarray(arrays[name], dtype=kind)
        digest.update(f"\n{name} {array.shape}\n".encode())
        digest.update(array.data)
    for name in _LABELS:
        digest.update(f"\n{name}\n".encode() + "\0".join(arrays[name].tolist()).encode())
    return digest.hexdigest()[:16]


def _problem(arrays: Mapping[str, np.ndarray]) -> str | None:
    """The first thing wrong with the arrays, in words, or None."""
    missing = [name for name in _ARRAYS if name not in arrays]
    if missing:
        return f"the entries {', '.join(missing)} are missing"
    classes = sum(SPLITS.values())
    shapes = {name: (classes,) for name in _ARRAYS}
    shapes["images"] = (classes, DRAWINGS_PER_CLASS, SIDE, SIDE)
    kinds = {"images": "uint8", "character_id": "integers"} | dict.fromkeys(_LABELS, "strings")
    for name, shape in shapes.items():
        array, kind = arrays[name], kinds[name]
        fits = {
            "uint8": array.dtype == np.uint8,
            "integers": array.dtype.kind in "iu",
            "strings": array.dtype.kind == "U",
        }[kind]
        if array.shape != shape or not fits:
            return f"{name} is {array.dtype} {array.shape}, expected {kind} {shape}"
    if arrays["split"].tolist() != [name for name, n in SPLITS.items() for _ in range(n)]:
        order = ", then ".join(f"{n} {name!r}" for name, n in SPLITS.items())
        return f"split must name {order} classes"
    if (np.diff(arrays["character_id"].astype(np.int64)) <= 0).any():
        return "character_id must increase from class to class"
    if arrays["images"].max() < 128 or arrays["images"].mean() >= 128:
        return "images must show bright ink (255) on a dark ground (0)"
    return None


def from_arrays(arrays: Mapping[str, np.ndarray], source: str, where: str) -> Drawings:
    """Check the arrays and make them `Drawings`.

    Raises:
        AnmlError: an entry is missing, wrong-shaped or wrong-typed; `where` names the culprit.
    """
    problem = _problem(arrays)
    if problem is None and source not in SOURCES:
        problem = f"source is {source!r}, expected one of {', '.join(SOURCES)}"
    if problem is None and source == "omniglot" and _embedded(arrays["alphabet"]):
        problem = "it holds the embedded alphabets, and its source entry does not say 'glyphs'"
    if problem is not None:
        raise AnmlError(
            f"{where} is not a packed file of drawings: {problem}; "
            "make one with `anml data fetch` or `anml data pack`"
        )
    fields = {name: arrays[name] for name in _ARRAYS}
    fields["character_id"] = fields["character_id"].astype(np.int32)
    return Drawings(**fields, source=source, fingerprint=fingerprint(fields, source))


def read_packed(path: Path) -> Drawings:
    """Read and check a packed file.

    Raises:
        AnmlError: the file is missing, unreadable, damaged, of another kind, or altered.
    """
    if not path.exists():
        raise AnmlError(
            f"no file {path}: give the path of a packed .npz, or get one with `anml data fetch`"
        )
    if path.is_dir():
        raise AnmlError(f"{path} is a folder: pack it first with `anml data pack {path} FILE.npz`")
    try:
        # Object arrays would be unpickled, that is, run: never.
        with np.load(path, allow_pickle=False) as file:
            entries: dict[str, np.ndarray] = {name: file[name] for name in file.files}
    except PermissionError:
        raise AnmlError(f"{path} may not be read: change its permissions") from None
    except Exception as error:  # numpy, zipfile and zlib raise a dozen kinds for a damaged file
        raise AnmlError(
            f"{path} cannot be read as a packed .npz, it is damaged, incomplete or of another kind "
            f"({_first_sentence(error)}); get it again with `anml data fetch` or `anml data pack`"
        ) from error
    source = str(entries.get("source", "omniglot"))
    drawings = from_arrays(entries, source, str(path))
    written = str(entries.get("fingerprint", drawings.fingerprint))
    if written != drawings.fingerprint:
        raise AnmlError(
            f"{path} was altered after it was packed: its fingerprint entry says {written[:16]}, "
            f"its contents {drawings.fingerprint}; get it again with `anml data fetch`"
        )
    return drawings


def write_packed(path: Path, drawings: Drawings) -> None:
    """Write all of `drawings`, fingerprint included; the same drawings make the same bytes.

    Raises:
        AnmlError: the file cannot be written; what was there before is still there.
    """
    entries: dict[str, Any] = {name: getattr(drawings, name) for name in _ARRAYS}
    entries |= {"source": drawings.source, "fingerprint": drawings.fingerprint}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # An open file, because numpy appends .npz to names that lack it.
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **entries)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> AnmlError:
    """The one line for a file or folder that cannot be written."""
    return AnmlError(
        f"cannot write {path}: {error.strerror or error}; "
        "choose a folder that you may write to and that has room (ANML_CACHE sets the cache folder)"
    )


def _embedded(alphabet: np.ndarray) -> bool:
    return any(name.startswith(GLYPHS_PREFIX) for name in alphabet.tolist())


def _first_sentence(error: Exception) -> str:
    """What an error says first: NumPy's go on with how to read a file unsafely all the same."""
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return first.partition(". ")[0]
