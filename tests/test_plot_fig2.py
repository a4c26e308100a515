"""Figure 2: its numbers are those of a run, whatever the profile, and it is drawn with them."""

import pytest
from figure_parts import words
from matplotlib.patches import FancyBboxPatch

from anml.figures import plot_fig2
from anml.figures.procedure import Procedure, procedure_table, trace_procedure
from anml.pages.notebook import picture
from anml.profiles import PROFILES, find_profile


@pytest.fixture(scope="module")
def paper() -> Procedure:
    return trace_procedure(PROFILES["paper"])


def test_the_papers_numbers_come_out_of_a_run(paper):
    assert (paper.meta_iterations, paper.sgd_steps, paper.inner_classes) == (20_000, 20, 1)
    assert (paper.remember, paper.exam) == (64, 84)
    assert (paper.train_drawings, paper.test_drawings) == (15, 5)
    assert (max(paper.n_classes), paper.meta_test_steps) == (600, 9000)


def test_what_learns_when_is_read_off_the_run(paper):
    assert paper.inner_parts == ("PLN", "head")
    assert paper.outer_parts == ("PLN", "head", "NM")
    assert paper.meta_test_parts == ("head",)


def test_other_sizes_give_other_numbers():
    small = find_profile("smoke", {"inner_steps": 3, "remember": 5, "n_classes": (2, 7)})
    procedure = trace_procedure(small)
    assert (procedure.sgd_steps, procedure.remember, procedure.exam) == (3, 5, 8)
    assert procedure.meta_test_steps == 7 * 15
    text = words(plot_fig2.fig2(procedure))
    assert "3 just learned + 5 of any class" in text
    assert "N up to 7;" in text


def tiles(figure, colour: str) -> int:
    """How many drawings stand on a white tile with an edge of `colour`."""
    from matplotlib.colors import same_color

    return sum(
        same_color(patch.get_edgecolor(), colour) and same_color(patch.get_facecolor(), "white")
        for patch in figure.findobj(FancyBboxPatch)
    )


def test_every_drawing_under_the_meta_loss_is_drawn(paper):
    figure = plot_fig2.fig2(paper)
    assert tiles(figure, plot_fig2.MUTED) == 64
    assert tiles(figure, plot_fig2.INNER.colour) == 20 + 4  # those of the inner loop itself
    assert tiles(figure, plot_fig2.META_TEST.colour) == 4 * 15


def test_the_figure_says_what_the_table_says(paper):
    text = words(plot_fig2.fig2(paper))
    for part in ("20,000 times", "Algorithm 1", "Algorithm 2", "all 20 steps", "over the 84"):
        assert part in text
    assert "moves: PLN and head\n" in text + "\n"
    numbers = dict(procedure_table(paper)[["what", "number"]].values)
    assert numbers["steps at N = 600"] == "9,000"
    assert numbers["drawings under the meta-loss"] == "84"


def test_the_same_run_gives_the_same_bytes(paper):
    first, second = (picture(plot_fig2.fig2(paper), "Figure 2").svg for _ in range(2))
    assert first == second


def test_nothing_leaves_the_frame(paper):
    figure = plot_fig2.fig2(paper)
    figure.canvas.draw()
    frame = figure.bbox
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        assert frame.x0 <= box.x0, text.get_text()
        assert box.x1 <= frame.x1, text.get_text()
