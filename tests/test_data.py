"""Where drawings come from, what is refused, and how they are divided."""

import errno
import os
import pickle
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from refusal import refusal

from anml import data, data_fetch, packed
from anml.errors import AnmlError

REAL = os.environ.get("ANML_DATA", "")
needs_omniglot = pytest.mark.skipif(not Path(REAL).is_file(), reason="ANML_DATA names no file")
BACKGROUND, EVALUATION = 3, 2
CLASSES = BACKGROUND + EVALUATION

Arrays = dict[str, np.ndarray]


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data but the test's own, and no network at all."""
    monkeypatch.delenv("ANML_DATA", raising=False)
    monkeypatch.setenv("ANML_CACHE", str(tmp_path / "cache"))
    data._say_once.cache_clear()

    def refuse(*_: object) -> None:
        pytest.fail("something was asked of the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set of 3 + 2 classes in place of 964 + 659."""
    monkeypatch.setitem(packed.SPLITS, "background", BACKGROUND)
    monkeypatch.setitem(packed.SPLITS, "evaluation", EVALUATION)


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


# --- the packed file


@pytest.mark.usefixtures("small")
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


@pytest.mark.usefixtures("small")
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


@pytest.mark.usefixtures("small")
def test_a_file_without_fingerprint_and_source_is_omniglot_and_fingerprinted(
    tmp_path: Path,
) -> None:
    drawings = packed.read_packed(save(tmp_path / "a.npz", **make()))
    assert drawings.source == "omniglot"
    assert drawings.fingerprint == packed.fingerprint(make(), "omniglot")


@pytest.mark.usefixtures("small")
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


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("case", WRONG)
def test_wrong_contents_are_refused_by_name(tmp_path: Path, case: str) -> None:
    changes, expected = WRONG[case]
    path = save(tmp_path / "a.npz", **(make() | changes))
    message = refusal(lambda: data.load(path))
    assert expected in message
    assert str(path) in message


@pytest.mark.usefixtures("small")
def test_a_missing_entry_is_refused_by_name(tmp_path: Path) -> None:
    arrays = make()
    del arrays["images"], arrays["split"]
    path = save(tmp_path / "a.npz", **arrays)
    assert "the entries images, split are missing" in refusal(lambda: data.load(path))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = save(tmp_path / "a.npz", **make())
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert "damaged, incomplete or of another kind" in refusal(lambda: data.load(path))


@pytest.mark.usefixtures("small")
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


@pytest.mark.usefixtures("small")
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


@pytest.mark.usefixtures("small")
def test_other_files_and_folders_are_refused(tmp_path: Path) -> None:
    array = tmp_path / "array.npy"
    np.save(array, np.zeros(3))
    assert "cannot be read" in refusal(lambda: data.load(array))
    assert "is a folder: pack it" in refusal(lambda: data.load(tmp_path))
    assert "choose 'auto', 'omniglot', 'glyphs'" in refusal(lambda: data.load("glyph"))
    assert "no file" in refusal(lambda: packed.read_packed(tmp_path / "none.npz"))


@pytest.mark.usefixtures("small")
def test_a_file_that_may_not_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.npz", **make())

    def forbid(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(np, "load", forbid)
    assert "may not be read" in refusal(lambda: data.load(path))


@pytest.mark.usefixtures("small")
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


@pytest.mark.usefixtures("small")
def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    drawings = packed.from_arrays(make(), "omniglot", "test")
    (tmp_path / "file").write_text("in the way")
    message = refusal(lambda: packed.write_packed(tmp_path / "file" / "a.npz", drawings))
    assert "cannot write" in message
    assert os.listdir(tmp_path) == ["file"]


# --- which source


@pytest.fixture
def generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: None) -> ModuleType:
    """A stand-in for anml.glyphs that counts how often it draws."""
    module = ModuleType("anml.glyphs")
    source = tmp_path / "generator" / "glyphs.py"
    source.parent.mkdir()
    source.write_text("version 1")
    module.__file__ = str(source)
    module.calls = 0

    def draw(seed: int = 0, *, progress: bool = False) -> Arrays:
        module.calls += 1
        return make(100 + seed, alphabet="Glyphs-01")

    module.draw = draw
    monkeypatch.setitem(sys.modules, "anml.glyphs", module)
    monkeypatch.setattr("anml.glyphs", module, raising=False)
    return module


def test_glyphs_are_drawn_once_and_then_cached(
    generator: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = data.load("glyphs"), data.load("glyphs")
    assert generator.calls == 1
    assert first.source == second.source == "glyphs"
    assert first.fingerprint == second.fingerprint
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("changed", ["glyphs.py", "glyph_shapes.py"])
def test_a_change_of_the_generator_is_seen(generator: ModuleType, changed: str) -> None:
    data.load("glyphs")
    (Path(generator.__file__).parent / changed).write_text("version 2")
    data.load("glyphs")
    assert generator.calls == 2


def test_a_damaged_cache_is_drawn_anew(
    generator: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    data.load("glyphs")
    (cached,) = data.cache_folder().glob("glyphs-*.npz")
    cached.write_bytes(b"PK half a file")
    data.load("glyphs")
    assert generator.calls == 2
    assert "drawing the embedded drawings anew" in capsys.readouterr().err
    data.load("glyphs")
    assert generator.calls == 2


def test_glyphs_work_without_a_cache(
    generator: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ANML_CACHE", str(tmp_path / "file"))
    assert data.load("glyphs").source == data.load("glyphs").source == "glyphs"
    assert capsys.readouterr().err.count("cannot write") == 1


def test_auto_prefers_anml_data_then_the_fetched_file_then_glyphs(
    generator: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert data.load().source == "glyphs"
    data.load("auto")
    assert capsys.readouterr().err.count("NOT Omniglot") == 1

    save(data.fetched_path(), **make(1))
    fetched = data.load()
    assert fetched.source == "omniglot"
    monkeypatch.setenv("ANML_DATA", str(save(tmp_path / "own.npz", **make(2))))
    own = data.load()
    assert own.fingerprint != fetched.fingerprint
    assert data.load("omniglot").fingerprint == own.fingerprint
    assert data.load("glyphs").source == "glyphs"
    assert data.load(data.fetched_path()).fingerprint == fetched.fingerprint
    assert "NOT Omniglot" not in capsys.readouterr().err


def test_a_bad_anml_data_is_an_error_and_no_reason_for_glyphs(
    generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANML_DATA", str(tmp_path / "none.npz"))
    assert "ANML_DATA is" in refusal(lambda: data.load("auto"))
    assert generator.calls == 0


def test_omniglot_is_omniglot_or_an_error(
    generator: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no Omniglot found" in refusal(lambda: data.load("omniglot"))
    data.load("glyphs")
    (cached,) = data.cache_folder().glob("glyphs-*.npz")
    assert data.load(cached).source == "glyphs"
    monkeypatch.setenv("ANML_DATA", str(cached))
    assert "NOT Omniglot" in refusal(lambda: data.load("omniglot"))


def test_what_is_no_omniglot_says_so(generator: ModuleType, tmp_path: Path) -> None:
    assert "NOT Omniglot" in data.describe(data.load("glyphs"), None)
    path = save(tmp_path / "a.npz", **make())
    text = data.describe(data.load(path), path)
    assert "NOT the reference drawings" in text
    assert str(path) in text


# --- how they are divided


def test_the_splits_are_963_and_659(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = 964 + 659
    drawings = packed.Drawings(
        images=np.broadcast_to(np.arange(classes).reshape(-1, 1, 1, 1), (classes, 20, 1, 1)),
        character_id=np.arange(1, classes + 1),
        alphabet=np.repeat(["Greek"], classes),
        character=np.repeat(["character01"], classes),
        split=np.repeat(["background", "evaluation"], [964, 659]),
        source="omniglot",
        fingerprint="",
    )
    assert drawings.meta_train[:, 0, 0, 0].tolist() == list(range(963))
    assert drawings.meta_test[:, 0, 0, 0].tolist() == list(range(964, 1623))


def test_first_trains_on_the_first_writers() -> None:
    train, test = data.split_drawings(how="first")
    assert train.tolist() == list(range(15))
    assert test.tolist() == list(range(15, 20))


def test_shuffled_is_disjoint_complete_and_set_by_the_seed() -> None:
    def both(seed: int) -> list[int]:
        train, test = data.split_drawings(rng=np.random.default_rng(seed))
        assert (train.shape, test.shape) == ((15,), (5,))
        return [*train.tolist(), *test.tolist()]

    assert both(1) == both(1) != both(2)
    assert sorted(both(1)) == list(range(20))
    train, test = data.split_drawings(3, rng=np.random.default_rng(1))
    assert (len(train), len(test)) == (3, 17)


def test_a_wrong_split_is_one_line() -> None:
    rng = np.random.default_rng(0)
    assert "1 to 19" in refusal(lambda: data.split_drawings(20, rng=rng))
    assert "needs rng" in refusal(lambda: data.split_drawings())
    assert "'shuffled' or 'first'" in refusal(lambda: data.split_drawings(how="last", rng=rng))


def test_as_input_is_float_in_0_1_with_a_channel() -> None:
    images = make()["images"]
    tensor = data.as_input(images)
    assert tensor.shape == (CLASSES, 20, 1, 28, 28)
    assert tensor.dtype == torch.float32
    np.testing.assert_array_equal(tensor[:, :, 0].numpy(), (images > 0).astype(np.float32))
    assert data.as_input(images[0, 0]).shape == (1, 28, 28)
    assert "not float32" in refusal(lambda: data.as_input(tensor.numpy()))


# --- the real data set, where there is one


@needs_omniglot
def test_the_real_omniglot_is_the_reference() -> None:
    drawings = data.load(REAL)
    assert drawings.fingerprint == packed.OMNIGLOT_FINGERPRINT
    assert drawings.meta_train.shape == (963, 20, 28, 28)
    assert drawings.meta_test.shape == (659, 20, 28, 28)
    assert "(the reference drawings" in data.describe(drawings, Path(REAL))


@needs_omniglot
def test_shrinking_an_original_gives_the_packed_drawing(tmp_path: Path) -> None:
    from PIL import Image

    originals = Path(REAL).with_name("omniglot105.npz")
    if not originals.is_file():
        pytest.skip("no original drawings beside ANML_DATA")
    with np.load(originals, allow_pickle=False) as file:
        rows = file["packed"][::100, 7]
    bits = np.unpackbits(rows, axis=-1)[:, :11025].reshape(-1, 105, 105)
    for image, expected in zip(bits, data.load(REAL).images[::100, 7], strict=True):
        Image.fromarray((1 - image) * 255).convert("1").save(tmp_path / "a.png")
        np.testing.assert_array_equal(data_fetch._shrink(tmp_path / "a.png"), expected)


def test_reading_data_does_not_import_torch() -> None:
    code = "import sys, anml.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
