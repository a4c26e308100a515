"""The figure and the ranking of the baselines' rates."""

import synthetic_rates

from anml.plot_rates import best_rates, rates_figure, rates_values


def test_every_square_is_written_and_the_pair_in_use_is_framed() -> None:
    table = synthetic_rates.table()
    values = rates_values(table)
    figure = rates_figure(values, table.provenance)
    assert "Omniglot; profile quick; one model a pair, 1,000" in figure.get_suptitle()
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles == [
        *("OML, N = 50", "OML, N = 200", "OML-OLFT, N = 50", "OML-OLFT, N = 200"),
        *("Pretrain & Transfer, N = 10", "Pretrain & Transfer, N = 50"),
    ]
    for axis, (_, rows) in zip(
        figure.axes, values.groupby(["training", "treatment", "n_classes"]), strict=True
    ):
        written = sorted(float(text.get_text()) for text in axis.texts)
        assert written == sorted((100 * rows["value"]).round(1))
        frames = [patch for patch in axis.patches if patch.get_gid() == "chosen"]
        assert len(frames) == rows["chosen"].sum()


def test_the_best_pair_of_each_training_comes_first() -> None:
    best = best_rates(rates_values(synthetic_rates.table()))
    assert len(best) == 12
    for _, rows in best.groupby("training"):
        assert rows["mean"].is_monotonic_decreasing
    assert best["chosen"].sum() == 1
