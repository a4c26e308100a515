"""Folders that are not the whole data set: they are refused, and nothing is packed."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from refusal import refusal

from anml.drawings import data_fetch

pytestmark = pytest.mark.usefixtures("own_data", "no_network", "few_classes")


def spoil_missing_part(root: Path) -> None:
    shutil.rmtree(root / "images_evaluation")


def spoil_missing_character(root: Path) -> None:
    shutil.rmtree(root / "images_background" / "Greek" / "character01")


def spoil_missing_drawing(root: Path) -> None:
    (root / "images_background" / "Greek" / "character01" / "0002_07.png").unlink()


def spoil_name(root: Path) -> None:
    folder = root / "images_background" / "Greek" / "character01"
    (folder / "0002_01.png").rename(folder / "first.png")


def spoil_mixed(root: Path) -> None:
    folder = root / "images_background" / "Greek" / "character01"
    (folder / "0002_20.png").rename(folder / "0003_20.png")


def spoil_repeated(root: Path) -> None:
    greek = root / "images_background" / "Greek"
    shutil.rmtree(greek / "character02")
    shutil.copytree(greek / "character01", greek / "character02")


def spoil_picture(root: Path) -> None:
    picture = root / "images_evaluation" / "ULOG" / "character01" / "0004_03.png"
    picture.write_bytes(picture.read_bytes()[:60])


def spoil_size(root: Path) -> None:
    Image.new("1", (28, 28), 1).save(
        root / "images_evaluation" / "ULOG" / "character01" / "0004_03.png"
    )


SPOILT: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing part": (spoil_missing_part, "is not a folder with images_background and"),
    "missing character": (spoil_missing_character, "holds 2 characters, expected 3"),
    "missing drawing": (spoil_missing_drawing, "does not hold one character's 20 drawings"),
    "foreign name": (spoil_name, "does not hold one character's 20 drawings"),
    "mixed characters": (spoil_mixed, "does not hold one character's 20 drawings"),
    "repeated character": (spoil_repeated, "does not hold one character's 20 drawings"),
    "truncated picture": (spoil_picture, "0004_03.png is not a readable picture"),
    "small picture": (spoil_size, "has 28 x 28 pixels, expected 105 x 105"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_spoilt_folder_is_refused_and_nothing_is_written(
    pictures: Path, tmp_path: Path, case: str
) -> None:
    spoil, message = SPOILT[case]
    spoil(pictures)
    dest = tmp_path / "a.npz"
    assert message in refusal(lambda: data_fetch.pack(pictures, dest))
    assert os.listdir(tmp_path) == ["pictures"]
