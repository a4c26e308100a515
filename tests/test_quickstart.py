import json
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from anml import quickstart
from anml.drawings.packed import SPLITS, Drawings
from anml.errors import AnmlError
from anml.figures import plot_quickstart
from anml.meta_testing.trajectories import draw_trajectory
from anml.quickstart import Outcome

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "quickstart.ipynb"
N = 4


@pytest.fixture(scope="module")
def drawings() -> Drawings:
    """As many classes as Omniglot's: one blob each, at a place of its own, with a little noise."""
    rng = np.random.default_rng(0)
    count = sum(SPLITS.values())
    images = rng.integers(0, 40, (count, 20, 28, 28), dtype=np.uint8)
    for label, (x, y) in enumerate(rng.integers(0, 20, (count, 2))):
        images[label, :, x : x + 8, y : y + 8] = 255
    split = np.repeat(list(SPLITS), list(SPLITS.values()))
    names = np.full(count, "x")
    return Drawings(images, np.arange(count, dtype=np.int32), names, names, split, "glyphs", "0")


@pytest.fixture(scope="module")
def profile():
    small = quickstart.small_profile("smoke", meta_iterations=2, n_classes=N, trajectories=2)
    return replace(small, pln_channels=4, nm_channels=2, oml_channels=4, oml_hidden=8, remember=4)


@pytest.fixture(scope="module")
def outcomes(drawings, profile) -> list[Outcome]:
    learners = [
        quickstart.ordinary(profile, 0),
        quickstart.untrained(profile, 0),
        quickstart.meta_trained(profile, drawings, 0),
    ]
    return quickstart.compare(learners, drawings, profile, seed=0)


def made_up(name: str, just_learned: float, later: float) -> Outcome:
    """An outcome that is `just_learned` on the diagonal and `later` from then on."""
    history = np.where(np.tri(N, dtype=bool), later, np.nan)
    np.fill_diagonal(history, just_learned)
    return Outcome(name, 0.01, np.stack([history, history]))


def test_a_history_is_known_for_classes_seen_and_for_no_others(outcomes):
    for outcome in outcomes:
        assert outcome.history.shape == (2, N, N)
        seen = np.tri(N, dtype=bool)
        for history in outcome.history:
            np.testing.assert_array_equal(np.isfinite(history), seen)
            fifths = history[seen] * 5  # five held-out drawings a class
            np.testing.assert_allclose(fifths, fifths.round(), atol=1e-9)
            assert history[seen].min() >= 0
            assert history[seen].max() <= 1


@pytest.mark.parametrize("kind", [quickstart.ordinary, quickstart.untrained])
def test_learning_leaves_the_learner_as_it_was_and_repeats(kind, drawings, profile):
    learner, trajectory = kind(profile, 3), draw_trajectory(5, N)
    before = {k: v.clone() for k, v in learner.model.state_dict().items()}
    classes = []
    run = [
        quickstart.history(learner, drawings, trajectory, 0.01, lambda: classes.append(1))
        for _ in range(2)
    ]
    np.testing.assert_array_equal(run[0], run[1])
    assert len(classes) == 2 * N
    for name, tensor in learner.model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_one_class_alone_is_learned_at_a_good_rate_and_not_at_none(drawings, profile):
    learner, trajectory = quickstart.untrained(profile, 0), draw_trajectory(1, 2)
    assert quickstart.history(learner, drawings, trajectory, 0.1)[0, 0] == 1.0
    assert quickstart.history(learner, drawings, trajectory, 1e-9)[0, 0] < 1.0


def test_meta_training_starts_from_the_network_that_is_shown_untrained(drawings, profile):
    frozen = replace(profile, meta_iterations=1, anml_outer_rate=1e-9)
    start = quickstart.untrained(frozen, 7).model.state_dict()
    after = quickstart.meta_trained(frozen, drawings, 7).model.state_dict()
    for name, tensor in start.items():
        torch.testing.assert_close(after[name], tensor, atol=1e-7, rtol=0)


def test_accuracy_on_everything_seen_ignores_what_is_to_come():
    history = np.array([[1.0, np.nan, np.nan], [0.0, 1.0, np.nan], [0.0, 0.0, 0.6]])
    np.testing.assert_allclose(quickstart.seen_accuracy(history), [1.0, 0.5, 0.2])


def test_the_best_rate_remembers_and_where_that_is_a_draw_it_learns():
    remembers, forgets = (made_up("", *pair).history[0] for pair in ((0.8, 0.8), (1.0, 0.0)))
    assert quickstart.best([forgets, remembers]) == 1
    stuck = np.where(np.tri(N, dtype=bool), 0.0, np.nan)
    stuck[:, 0] = 1.0  # for ever answers the first class
    assert quickstart.best([stuck, forgets]) == 1


def test_each_network_has_one_of_the_rates(outcomes):
    assert {outcome.rate for outcome in outcomes} <= set(quickstart.RATES)


def test_the_statements_say_true_and_false():
    forgets, middle, keeps = (
        made_up(*row) for row in (("a", 1.0, 0.0), ("b", 0.5, 0.2), ("c", 0.9, 0.7))
    )
    good, bad = (quickstart.statements(order) for order in ([forgets, middle, keeps], [keeps] * 3))
    assert [line.rpartition(": ")[2] for line in good] == ["True"] * 3
    assert [line.rpartition(": ")[2] for line in bad] == ["False"] * 3


def test_values_and_summary_are_what_the_histories_hold(outcomes):
    frame = quickstart.values(outcomes)
    assert len(frame) == 3 * N * (N + 1) // 2
    assert (frame["class_place"] <= frame["classes_learned"]).all()
    last = frame[frame["classes_learned"] == N].groupby("network", sort=False)["accuracy"].mean()
    table = quickstart.summary(outcomes)
    assert list(table["network"]) == list(last.index)
    assert list(table["all, at the end, %"]) == [f"{100 * value:.1f}" for value in last]


def test_settings_name_what_differs_from_the_paper_and_nothing_else(profile):
    table = quickstart.settings(profile).set_index("setting")
    assert table.loc["meta-iterations", "paper"] == "20,000"
    assert table.loc["meta-iterations", "here"] == "2"
    assert table.loc["classes learned in a trajectory, at most", "here"] == str(N)
    assert "inner rate" not in table.index
    assert (table["paper"] != table["here"]).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"profile": "big"}, "unknown profile 'big'"),
        ({"meta_iterations": 0}, "meta_iterations = 0 is out of range"),
        ({"n_classes": 660}, "n_classes = .* allowed is 2 to 659"),
        ({"trajectories": "two"}, "trajectories = 'two' is not a whole number"),
    ],
)
def test_a_bad_parameter_is_one_line(changes, message):
    good = {"profile": "smoke", "meta_iterations": 1, "n_classes": 5, "trajectories": 1}
    with pytest.raises(AnmlError, match=message) as caught:
        quickstart.small_profile(**(good | changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "heading"),
    [("omniglot", "Omniglot"), ("glyphs", "EMBEDDED DRAWINGS, NOT OMNIGLOT")],
)
def test_the_figure_shows_a_map_and_a_curve_for_each_network(outcomes, source, heading):
    figure = plot_quickstart.quickstart(outcomes, source, "narrow")
    texts = [text.get_text() for text in figure.texts]
    assert texts[0] == heading
    assert "narrow" in texts
    *maps, bar, curves = figure.axes
    assert bar.get_ylabel() == "Accuracy on the class, %"
    assert [m.get_title(loc="left") for m in maps] == [o.name for o in outcomes]
    for axes, outcome in zip(maps, outcomes, strict=True):
        shown = axes.collections[0].get_array()
        np.testing.assert_allclose(shown.filled(np.nan), 100 * outcome.mean.T)
    assert curves.get_xlabel() == "Classes learned so far"
    assert curves.get_ylabel() == "Accuracy, %"
    lines = {line.get_label(): line for line in curves.get_lines()}
    for outcome in outcomes:
        expected = 100 * quickstart.seen_accuracy(outcome.mean)
        np.testing.assert_allclose(lines[outcome.name].get_ydata(), expected)
    legend = {text.get_text() for text in curves.get_legend().get_texts()}
    assert {outcome.name for outcome in outcomes} <= legend
    plt.close(figure)


@pytest.mark.parametrize("n", [2, 5, 20, 50, 100, 659])
def test_ticks_hold_both_ends_and_do_not_crowd(n):
    ticks = plot_quickstart._ticks(n)
    assert (ticks[0], ticks[-1]) == (1, n)
    assert ticks == sorted(set(ticks))
    assert len(ticks) <= 21 if n > 20 else len(ticks) <= 6


def test_what_differs_between_machines_is_not_compared_and_the_rest_is():
    cells = {cell["id"]: cell for cell in json.loads(NOTEBOOK.read_text())["cells"]}
    ignored = {
        name
        for name, cell in cells.items()
        if "nbval-ignore-output" in cell["metadata"].get("tags", [])
    }
    # Progress bars and the notice about the data are outputs too.
    assert ignored == {"load", "meta-train", "learn", "figure", "numbers"}
    assert all(not cell.get("outputs") for cell in cells.values())
