"""Get Omniglot: download it through torchvision, and pack its pictures into one .npz file."""

import http.client
import re
import socket
import tempfile
import urllib.error
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from anml.data import fetched_path
from anml.drawings.packed import (
    DRAWINGS_PER_CLASS,
    SIDE,
    SPLITS,
    Drawings,
    cannot_write,
    from_arrays,
    read_packed,
    write_packed,
)
from anml.drawings.torchvision_import import import_torchvision_datasets
from anml.errors import AnmlError

ORIGINAL_SIDE = 105
# A drawing's file is named by character and writer, both the data set's own: 0709_01.png.
_PICTURE = re.compile(r"(\d{4})_(\d{2})\.png")
_PATIENCE = 60.0  # seconds without a byte before a download counts as interrupted


def fetch(dest: Path | None = None, *, force: bool = False) -> tuple[Drawings, Path]:
    """Download Omniglot (two zip files) with `torchvision.datasets.Omniglot` and pack it.

    torchvision checks what it downloads against the data set's md5 sums. Nothing is left behind
    but the packed file, and an intact packed file that is already there is kept.

    Args:
        dest: the packed file to write; by default where `anml.data.load` looks for it.
        force: download even if an intact file is there.

    Returns:
        The drawings and the file that holds them.

    Raises:
        AnmlError: the download fails or is not what it should be, or `dest` cannot be written.
    """
    dest = dest or fetched_path()
    _refuse_folder(dest)
    if dest.exists() and not force:
        try:
            return read_packed(dest), dest
        except AnmlError as error:
            print(f"{error} (getting it again now)")
    try:
        dest.parent.mkdir(parents=True, exist_ok=True)
        # In dest's folder: if that is full or may not be written, better to know it first.
        workshop = tempfile.TemporaryDirectory(dir=dest.parent, prefix=".omniglot-")
    except OSError as error:
        raise cannot_write(dest, error) from error
    with workshop as folder:
        _download(Path(folder))
        return pack(Path(folder), dest), dest


def _download(folder: Path) -> None:
    """Let torchvision download and unpack both parts into `folder`/omniglot-py."""
    omniglot = import_torchvision_datasets().Omniglot
    for split in SPLITS:
        url = f"{omniglot.download_url_prefix}/images_{split}.zip"
        with _download_problems(url, folder):
            omniglot(folder, background=split == "background", download=True)


@contextmanager
def _download_problems(url: str, folder: Path) -> Iterator[None]:
    """Say in one line what went wrong, and never wait for ever."""
    again = "nothing was kept; try again with `anml data fetch`"
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)
    try:
        yield
    except urllib.error.HTTPError as error:
        raise AnmlError(f"{url} answered with HTTP status {error.code}; {again} later") from error
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        network = (urllib.error.URLError, ConnectionError, TimeoutError, http.client.HTTPException)
        if not isinstance(error, network):
            raise cannot_write(folder.parent, error) from error
        raise AnmlError(
            f"the download of {url} failed or was interrupted ({reason}); {again}"
        ) from error
    except (RuntimeError, zipfile.BadZipFile) as error:
        raise AnmlError(
            f"what came from {url} is incomplete or altered (its checksum is wrong); {again}"
        ) from error
    finally:
        socket.setdefaulttimeout(patience)


def pack(src: Path, dest: Path) -> Drawings:
    """Pack a folder of Omniglot pictures, as torchvision or the data set's zip files leave it.

    Each 105 x 105 picture is resized with Pillow's LANCZOS filter to 28 x 28 and inverted, so that
    ink is 255. Classes are in the order of the data set's own character numbers (1 to 1,623, the
    background set first), read from the file names, and never in the order of the file system.

    Args:
        src: holds `images_background` and `images_evaluation`, itself or in `omniglot-py`.
        dest: the packed file to write.

    Raises:
        AnmlError: pictures are missing, unreadable or not Omniglot's, or `dest` cannot be written.
    """
    _refuse_folder(dest)
    found = [
        {split: picture_folder / f"images_{split}" for split in SPLITS}
        for picture_folder in (src, src / "omniglot-py")
    ]
    parts = next((p for p in found if all(folder.is_dir() for folder in p.values())), None)
    if parts is None:
        raise AnmlError(
            f"{src} is not a folder with {' and '.join(f'images_{split}' for split in SPLITS)}: "
            "unpack the data set's two zip files there first"
        )
    classes = [
        (number, folder, split, writers)
        for split, part in parts.items()
        for number, folder, writers in _characters(part, SPLITS[split])
    ]
    images = np.empty((len(classes), DRAWINGS_PER_CLASS, SIDE, SIDE), np.uint8)
    for row, (_, _, _, writers) in enumerate(tqdm(classes, desc="packing", unit="class")):
        for column, picture in enumerate(writers):
            images[row, column] = _shrink(picture)
    arrays = {
        "images": images,
        "character_id": np.array([number for number, *_ in classes], np.int32),
        "alphabet": np.array([folder.parent.name for _, folder, _, _ in classes]),
        "character": np.array([folder.name for _, folder, _, _ in classes]),
        "split": np.array([split for *_, split, _ in classes]),
    }
    drawings = from_arrays(arrays, "omniglot", str(src))
    write_packed(dest, drawings)
    return drawings


def _refuse_folder(dest: Path) -> None:
    if dest.is_dir():
        raise AnmlError(f"{dest} is a folder: give the name of the .npz file to write")


def _characters(part: Path, expected: int) -> list[tuple[int, Path, list[Path]]]:
    """The characters of one part, by number: (number, folder, pictures of writers 1 to 20)."""
    found: dict[int, tuple[Path, list[Path]]] = {}
    for folder in part.glob("*/*/"):
        pictures = sorted(folder.glob("*.png"))
        names = [_PICTURE.fullmatch(picture.name) for picture in pictures]
        number = int(names[0][1]) if names and names[0] else 0
        wanted = [f"{number:04d}_{writer:02d}.png" for writer in range(1, DRAWINGS_PER_CLASS + 1)]
        if [picture.name for picture in pictures] != wanted or number in found:
            raise AnmlError(
                f"{folder} does not hold one character's {DRAWINGS_PER_CLASS} drawings, "
                f"NNNN_01.png to NNNN_{DRAWINGS_PER_CLASS}.png: unpack the data set's zip again"
            )
        found[number] = (folder, pictures)
    if len(found) != expected:
        raise AnmlError(
            f"{part} holds {len(found)} characters, expected {expected}: "
            "unpack the data set's zip again"
        )
    return [(number, *found[number]) for number in sorted(found)]


def _shrink(picture: Path) -> np.ndarray:
    """One picture as uint8 [28, 28], ink 255 on 0."""
    try:
        with Image.open(picture) as image:
            original = image.convert("L")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise AnmlError(
            f"{picture} is not a readable picture: unpack the data set's zip again"
        ) from error
    if original.size != (ORIGINAL_SIDE, ORIGINAL_SIDE):
        raise AnmlError(
            f"{picture} has {original.size[0]} x {original.size[1]} pixels, "
            f"expected {ORIGINAL_SIDE} x {ORIGINAL_SIDE}: is this the original data set?"
        )
    return 255 - np.asarray(original.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
