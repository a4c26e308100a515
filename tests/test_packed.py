"""The packed file: what is written is read back, and what is damaged or wrong is refused."""

import errno
import os
import pickle
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from refusal import refusal
from small_drawings import CLASSES, Arrays, make, save

from anml import data
from anml.drawings import packed
from anml.errors import AnmlError

pytestmark = pytest.mark.usefixtures("own_data", "no_network", "few_classes")


def test_a_packed_file_reads_back_as_it_was_written(tmp_path: Path) -> None:
    drawings = packed.from_arrays(make(), "omniglot", "test")
    for path in (tmp_path / "new" / "a.npz", tmp_path / "no_suffix"):
        packed.write_packed(path, drawings)
        again = packed.read_packed(path)
        for name, array in make().items():
            np.testing.assert_array_equal(getattr(again, name), array)
            assert getattr(again, name).dtype.kind == array.dtype.kind
        assert (again.source, again.fingerprint) == ("omniglot", drawings.fingerprint)
        assert os.listdir(path.parent) != []
        assert not list(path.parent.glob(".*"))
    assert (tmp_path / "new" / "a.npz").read_bytes() == (tmp_path / "no_suffix").read_bytes()


def test_the_fingerprint_sees_contents_and_nothing_else() -> None:
    def mark(**changes: np.ndarray) -> str:
        return packed.from_arrays(make() | changes, "omniglot", "test").fingerprint

    first = mark()
    assert len(first) == 16
    assert int(first, 16)
    wide = make()["alphabet"].astype("U99")
    strided = np.asfortranarray(make()["images"])
    assert mark(alphabet=wide) == first
    assert mark(images=strided) == first
    assert mark(character_id=make()["character_id"].astype(np.int64)) == first

    one_pixel = make()["images"]
    one_pixel[4, 19, 27, 27] ^= 1
    names = make()["character"]
    names[0] = "character99"
    alphabets = make()["alphabet"]
    alphabets[2] = "Latin"
    others = {
        mark(images=one_pixel),
        mark(character=names),
        mark(alphabet=alphabets),
        mark(character_id=make()["character_id"] + 1),
        packed.from_arrays(make(), "glyphs", "test").fingerprint,
        first,
    }
    assert len(others) == 6


def test_a_file_without_fingerprint_and_source_is_omniglot_and_fingerprinted(
    tmp_path: Path,
) -> None:
    drawings = packed.read_packed(save(tmp_path / "a.npz", **make()))
    assert drawings.source == "omniglot"
    assert drawings.fingerprint == packed.fingerprint(make(), "omniglot")


@pytest.mark.parametrize("entry", ["images", "source", "fingerprint"])
def test_a_tampered_file_is_refused(tmp_path: Path, entry: str) -> None:
    drawings = packed.from_arrays(make(), "glyphs", "test")
    entries = make() | {"source": drawings.source, "fingerprint": drawings.fingerprint}
    tampered = {"images": make(1)["images"], "source": "omniglot", "fingerprint": "0" * 16}
    entries[entry] = tampered[entry]
    path = save(tmp_path / "a.npz", **entries)
    assert "was altered after it was packed" in refusal(lambda: packed.read_packed(path))


WRONG: dict[str, tuple[Arrays, str]] = {
    "float images": ({"images": make()["images"] / 255}, "images is float64"),
    "three channels": ({"images": make()["images"][..., None]}, "images is uint8 (5, 20, 28, 28,"),
    "too few classes": ({"images": make()["images"][:4]}, "expected uint8 (5, 20, 28, 28)"),
    "19 writers": ({"images": make()["images"][:, :19]}, "images is uint8 (5, 19, 28, 28)"),
    "float ids": ({"character_id": np.arange(5.0)}, "character_id is float64"),
    "repeated ids": ({"character_id": np.array([1, 2, 2, 3, 4])}, "character_id must increase"),
    "ids from above": ({"character_id": np.arange(5, 0, -1)}, "character_id must increase"),
    "bytes for names": ({"alphabet": np.repeat([b"Greek"], 5)}, "alphabet is |S5"),
    "too few names": ({"character": make()["character"][:4]}, "character is <U11 (4,)"),
    "unknown split": ({"split": np.repeat(["train"], 5)}, "split must name 3 'background'"),
    "splits reversed": ({"split": make()["split"][::-1]}, "split must name 3 'background'"),
    "dark ink": ({"images": 255 - make()["images"]}, "bright ink"),
    "ink of 1": ({"images": make()["images"] // 255}, "bright ink"),
    "unknown source": ({"source": np.array("mnist")}, "source is 'mnist'"),
    "glyphs unsaid": ({"alphabet": np.repeat(["Glyphs-01"], 5)}, "embedded alphabets"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_contents_are_refused_by_name(tmp_path: Path, case: str) -> None:
    changes, expected = WRONG[case]
    path = save(tmp_path / "a.npz", **(make() | changes))
    message = refusal(lambda: data.load(path))
    assert expected in message
    assert str(path) in message


def test_a_missing_entry_is_refused_by_name(tmp_path: Path) -> None:
    arrays = make()
    del arrays["images"], arrays["split"]
    path = save(tmp_path / "a.npz", **arrays)
    assert "the entries images, split are missing" in refusal(lambda: data.load(path))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = save(tmp_path / "a.npz", **make())
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert "damaged, incomplete or of another kind" in refusal(lambda: data.load(path))


def test_any_flipped_byte_is_refused_or_harmless(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", **make())
    whole, mark = path.read_bytes(), packed.read_packed(path).fingerprint
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.integers(len(whole), size=60):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            assert packed.read_packed(path).fingerprint == mark
        except AnmlError:
            refused += 1
    assert refused > 30


def test_pickled_objects_are_refused_and_never_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Trap:
        def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
            return os.mkdir, (str(ran),)

    objects = np.array([Trap()] * CLASSES, dtype=object)
    path = save(tmp_path / "a.npz", **(make() | {"alphabet": objects}))
    assert "allow_pickle" in refusal(lambda: data.load(path))
    plain = tmp_path / "plain.npz"
    plain.write_bytes(pickle.dumps(Trap()))
    assert "cannot be read" in refusal(lambda: data.load(plain))
    assert not ran.exists()


def test_other_files_and_folders_are_refused(tmp_path: Path) -> None:
    array = tmp_path / "array.npy"
    np.save(array, np.zeros(3))
    assert "cannot be read" in refusal(lambda: data.load(array))
    assert "is a folder: pack it" in refusal(lambda: data.load(tmp_path))
    assert "choose 'auto', 'omniglot', 'glyphs'" in refusal(lambda: data.load("glyph"))
    assert "no file" in refusal(lambda: packed.read_packed(tmp_path / "none.npz"))


def test_a_file_that_may_not_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.npz", **make())

    def forbid(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(np, "load", forbid)
    assert "may not be read" in refusal(lambda: data.load(path))


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    first, second = (packed.from_arrays(make(seed), "omniglot", "test") for seed in (0, 1))
    packed.write_packed(path, first)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # writing more now fails, as when full
    try:
        message = refusal(lambda: packed.write_packed(path, second))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"cannot write {path}" in message
    assert os.listdir(tmp_path) == ["a.npz"]
    assert packed.read_packed(path).fingerprint == first.fingerprint
    packed.write_packed(path, second)
    assert packed.read_packed(path).fingerprint == second.fingerprint


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    drawings = packed.from_arrays(make(), "omniglot", "test")
    (tmp_path / "file").write_text("in the way")
    message = refusal(lambda: packed.write_packed(tmp_path / "file" / "a.npz", drawings))
    assert "cannot write" in message
    assert os.listdir(tmp_path) == ["file"]
