import hashlib
import math
import os
import platform
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from numpy._core import _multiarray_umath as umath

from anml.data import load
from anml.drawings import glyphs
from anml.drawings.glyph_alphabets import draw_alphabet
from anml.drawings.glyph_strokes import (
    KINDS,
    RELATIONS,
    draw_shape,
    ideal_character,
    spline_weights,
)
from anml.drawings.glyph_writers import FRAME, Spread, draw_writers, ink, picture, write
from anml.errors import AnmlError
from anml.figures.plot_drawings import (
    COMPARISON,
    comparison_table,
    drawings_figure,
    read_comparison,
    shown_classes,
    shown_values,
)
from anml.findings.found_tables import repository_root
from anml.meta_testing.nearest import drawings_accuracy

SMALL = 5  # an alphabet of 14 characters


def digest(images: np.ndarray) -> str:
    return hashlib.sha256(images.tobytes()).hexdigest()[:16]


@pytest.fixture(scope="module")
def small() -> np.ndarray:
    return glyphs.draw_one_alphabet(SMALL)


@pytest.fixture(scope="module")
def drawings():
    return load("glyphs")


def test_same_bytes_as_recorded(small):
    assert digest(small) == "c9c3a23bb22796dd"


def test_same_bytes_on_a_plainer_processor(small):
    """Without wide vector instructions sines and sums may differ in the last bit; ink may not."""
    command = (
        "import hashlib; from anml.drawings.glyphs import draw_one_alphabet as d;"
        f"print(hashlib.sha256(d({SMALL}).tobytes()).hexdigest()[:16])"
    )
    wide = [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__[name]]
    plain = os.environ | {
        "NPY_DISABLE_CPU_FEATURES": " ".join(wide),
        "OPENBLAS_CORETYPE": "Prescott" if platform.machine() == "x86_64" else "ARMV8",
    }
    out = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, env=plain)
    assert out.stdout.strip() == digest(small), out.stderr


def test_another_seed_draws_others(small):
    other = glyphs.draw_one_alphabet(SMALL, seed=1)
    assert other.shape == small.shape
    assert np.mean(other != small) > 0.05


def test_packed_format(drawings):
    assert drawings.images.dtype == np.uint8
    assert drawings.images.shape == (1623, 20, 28, 28)
    np.testing.assert_array_equal(drawings.character_id, np.arange(1, 1624))
    assert len(set(drawings.alphabet)) == 50
    assert all(name.startswith("Glyphs-") for name in drawings.alphabet)
    assert len(set(zip(drawings.alphabet, drawings.character, strict=True))) == 1623
    assert (drawings.split[:964] == "background").all()
    assert (drawings.split[964:] == "evaluation").all()
    assert not set(drawings.alphabet[:964]) & set(drawings.alphabet[964:])


def test_one_alphabet_is_a_part_of_all(drawings, small):
    start = sum(glyphs.SIZES[:SMALL])
    np.testing.assert_array_equal(drawings.images[start : start + len(small)], small)


def test_ink_on_paper(drawings):
    images = drawings.images
    assert images.min() == 0
    assert images.max() == 255
    inked = np.mean(images > 127, axis=(2, 3))
    assert inked.min() > 0.001  # nobody hands in an empty sheet
    assert inked.max() < 0.5
    assert np.mean((images > 20) & (images < 235)) > 0.02  # anti-aliased
    edge = np.concatenate([images[..., 0, :], images[..., -1, :], images[..., 0], images[..., -1]])
    assert np.mean(edge > 127) < 0.02


def test_no_two_drawings_are_the_same(drawings):
    sheets = drawings.images.reshape(-1, 28 * 28)
    assert len({sheet.tobytes() for sheet in sheets}) == len(sheets)


def test_writers_have_habits(drawings):
    """A writer's pen shows in every character of an alphabet, beyond what one drawing varies."""
    images = drawings.images[: glyphs.SIZES[0]].astype(float)
    ink_share = np.log(images.mean(axis=(2, 3)))
    deviations = ink_share - ink_share.mean(axis=1, keepdims=True)
    between = deviations.mean(axis=0).var()
    by_chance = (deviations - deviations.mean(axis=0)).var() / len(images)
    assert between > 5 * by_chance


def test_alphabets_share_a_style():
    """Two characters of an alphabet are more alike in size than characters of two alphabets."""
    logs = []
    for number in range(12):
        _, characters = draw_alphabet(14, np.random.default_rng(number))
        curves = [np.concatenate(ideal_character(c, 20), axis=1)[0] for c in characters]
        logs.append([math.log(np.ptp(c, axis=0).max()) for c in curves])
    logs = np.array(logs)
    assert logs.mean(axis=1).var() > 3 * logs.var(axis=1).mean() / logs.shape[1]


def test_characters_use_the_library_and_relations():
    style, characters = draw_alphabet(30, np.random.default_rng(3))
    strokes = [stroke for character in characters for stroke in character]
    assert {stroke.relation for stroke in strokes} == set(RELATIONS)
    assert all(c[0].relation == "independent" for c in characters)
    assert all(s.parent < i for c in characters for i, s in enumerate(c) if i)
    shapes = {shape.sharp for shape in style.library}
    assert sum(stroke.shape.sharp[1:-1] in {s[1:-1] for s in shapes} for stroke in strokes) > 20


def test_tied_strokes_start_on_their_parents():
    _, characters = draw_alphabet(20, np.random.default_rng(4))
    checked = 0
    for character in characters:
        curves = ideal_character(character, 101)
        for stroke, curve in zip(character, curves, strict=True):
            if stroke.relation == "independent":
                continue
            own = curve[0, round(stroke.anchor * 100)]
            gap = np.sqrt(np.square(curves[stroke.parent][0] - own).sum(axis=1)).min()
            assert gap < 1e-9
            checked += 1
    assert checked > 10


def test_spline_meets_its_ends_and_corners():
    weights = spline_weights((1, 1, 3, 1, 1), 201)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    nodes = np.array([[0.0, 0], [1, 0], [2, 0], [2, 1], [2, 2]])
    curve = weights @ nodes
    np.testing.assert_allclose(curve[[0, -1]], nodes[[0, -1]], atol=1e-12)
    assert np.abs(curve - nodes[2]).sum(axis=1).min() < 0.02
    smooth = spline_weights((1, 1, 1, 1, 1), 201) @ nodes
    assert np.abs(smooth - nodes[2]).sum(axis=1).min() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_start_at_the_origin_and_have_about_unit_length(kind):
    for seed in range(5):
        shape = draw_shape(kind, 0.3, np.random.default_rng(seed))
        assert len(shape.nodes) == len(shape.sharp)
        np.testing.assert_array_equal(shape.nodes[0], 0.0)
        length = np.sqrt(np.square(np.diff(shape.nodes, axis=0)).sum(axis=1)).sum()
        assert 0.7 < length < 1.4


def test_pen_leaves_a_disc():
    frame = ink(np.array([[[50.0, 20.0]]]), np.array([3.0]))[0]
    y, x = np.nonzero(frame)
    assert set(zip(x.tolist(), y.tolist(), strict=True)) == {
        (x, y) for x in range(FRAME) for y in range(FRAME) if (x - 50) ** 2 + (y - 20) ** 2 <= 9
    }


def test_pen_at_the_edge_does_not_wrap_round():
    corners = np.array([[[0.0, 0.0]], [[FRAME - 1.0, FRAME - 1.0]]])
    frames = ink(corners, np.array([2.0, 2.0]))
    assert frames[0, :4, :4].sum() == frames[0].sum() > 0
    assert frames[1, -4:, -4:].sum() == frames[1].sum() == frames[0].sum()


def test_picture_is_ink_on_nothing():
    frames = np.zeros((2, FRAME, FRAME), bool)
    frames[1] = True
    small = picture(frames)
    assert small.shape == (2, 28, 28)
    assert small.dtype == np.uint8
    assert small[0].max() == 0
    assert small[1].min() == 255


def test_large_characters_stay_on_the_sheet():
    rng = np.random.default_rng(0)
    _, characters = draw_alphabet(3, rng)
    spread = Spread(size_drawing=0.8, place_drawing=40.0)
    for character in characters:
        points = write(character, draw_writers(rng, spread), spread, rng)
        assert points.min() >= 0
        assert points.max() <= FRAME - 1


def test_writers_without_spread_draw_alike():
    rng = np.random.default_rng(0)
    _, (character,) = draw_alphabet(1, rng)
    none = Spread(**dict.fromkeys(vars(Spread()), 0.0))
    points = write(character, draw_writers(rng, none), none, rng)
    np.testing.assert_allclose(points, points[:1].repeat(20, axis=0), atol=1e-9)


def test_bad_numbers():
    with pytest.raises(AnmlError, match="0 to 49"):
        glyphs.draw_one_alphabet(50)
    with pytest.raises(AnmlError, match="seed -1"):
        glyphs.draw(seed=-1)


def test_as_hard_as_measured_on_a_part():
    """The first four evaluation alphabets, 98 classes."""
    images = np.concatenate([glyphs.draw_one_alphabet(number) for number in range(30, 34)])
    assert 0.25 < drawings_accuracy(images, how="first") < 0.40
    assert 0.28 < drawings_accuracy(images, how="shuffled") < 0.40


def test_recorded_comparison_is_of_these_drawings_and_close_to_omniglot(drawings):
    frame = read_comparison(repository_root() / COMPARISON)
    recorded = frame[frame["source"] == "glyphs"]
    assert set(recorded["fingerprint"]) == {drawings.fingerprint}
    wide = frame.pivot(index="measure", columns="source", values="value")
    accuracy = wide[wide.index.str.startswith("1-NN")]
    assert len(accuracy) == 2
    assert (accuracy["glyphs"] - accuracy["omniglot"]).abs().max() < 0.1
    assert wide.loc["mean ink (0 to 1)", "glyphs"] == pytest.approx(
        drawings.images.mean() / 255, rel=1e-4
    )
    assert "NOT Omniglot" in comparison_table(frame).to_string()


def test_comparison_missing_or_of_another_kind(tmp_path):
    with pytest.raises(AnmlError, match="python benchmarks/glyphs_vs_omniglot"):
        read_comparison(tmp_path / "none.csv")
    path = tmp_path / "other.csv"
    pd.DataFrame({"source": ["glyphs"]}).to_csv(path, index=False)
    with pytest.raises(AnmlError, match="columns source, measure, value, fingerprint"):
        read_comparison(path)


def test_figure_says_which_is_which(drawings):
    figure = drawings_figure([drawings, drawings], characters=3, writers=4)
    assert len(figure.axes) == 2
    assert "NOT Omniglot" in figure.axes[0].get_title(loc="left")
    shown = figure.axes[0].images[0].get_array()
    assert shown.shape == (3 * 28, 4 * 28)
    first = drawings.images[shown_classes(drawings, 3)[0], 1]
    np.testing.assert_array_equal(255 - shown[:28, 28:56], first)
    values = shown_values([drawings], characters=3, writers=4)
    assert len(values) == values["alphabet"].nunique() == 3
    with pytest.raises(AnmlError, match="1 to 20"):
        drawings_figure([drawings], writers=21)
    with pytest.raises(AnmlError, match="1 to 50"):
        drawings_figure([drawings], characters=51)
