"""Where drawings come from, and how they are divided."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from refusal import refusal
from small_drawings import CLASSES, Arrays, make, save

from anml import data
from anml.drawings import data_fetch, packed

REAL = os.environ.get("ANML_DATA", "")
needs_omniglot = pytest.mark.skipif(not Path(REAL).is_file(), reason="ANML_DATA names no file")

pytestmark = pytest.mark.usefixtures("own_data", "no_network")


# --- which source


@pytest.fixture
def generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_classes: None) -> ModuleType:
    """A stand-in for anml.drawings.glyphs that counts how often it draws."""
    module = ModuleType("anml.drawings.glyphs")
    source = tmp_path / "generator" / "glyphs.py"
    source.parent.mkdir()
    source.write_text("version 1")
    module.__file__ = str(source)
    module.calls = 0

    def draw(seed: int = 0, *, progress: bool = False) -> Arrays:
        module.calls += 1
        return make(100 + seed, alphabet="Glyphs-01")

    module.draw = draw
    monkeypatch.setitem(sys.modules, "anml.drawings.glyphs", module)
    monkeypatch.setattr("anml.drawings.glyphs", module, raising=False)
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


def test_a_file_of_another_kind_is_refused_without_a_way_to_run_it(tmp_path: Path) -> None:
    """NumPy's own words go on with how to unpickle it."""
    path = tmp_path / "plain.npz"
    path.write_text("no drawings\n")
    message = refusal(lambda: data.load(path))
    assert "(This file contains pickled (object) data); get it again" in message
    assert "allow_pickle" not in message


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
