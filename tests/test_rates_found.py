"""Which learning rates a search found, and what is said where its grid ends."""

from __future__ import annotations

import pandas as pd
import synthetic_table

from anml.findings.rates_found import edge_notes, found_rates, rate_sheet
from anml.results import Table


def table(best: dict[tuple[str, int], float]) -> Table:
    """Searches on two trajectories over three rates; `best` of (treatment, N) wins on both."""
    rows = [
        {
            "profile": "quick",
            "data": "omniglot",
            "treatment": treatment,
            "regime": "sequential",
            "optimizer": "adam",
            "learning_rate": rate,
            "n_classes": n,
            "trajectory_seed": trajectory,
            "value": 0.9 if rate == wins else 0.1,
        }
        for (treatment, n), wins in best.items()
        for rate in (1e-3, 1e-4, 1e-5)
        for trajectory in (0, 1)
    ]
    return Table(pd.DataFrame(rows), synthetic_table.provenance())


SEARCHED = table({("OML", 10): 1e-3, ("OML", 600): 1e-5, ("ANML", 10): 1e-4, ("ANML", 600): 1e-4})


def test_the_rate_that_wins_is_found_and_the_end_of_the_grid_marked():
    rates = found_rates(SEARCHED, ["ANML", "OML", "Scratch"])
    assert rates["learning_rate"].tolist() == [1e-4, 1e-4, 1e-3, 1e-5]
    assert rates["edge"].tolist() == ["", "", "largest", "smallest"]
    sheet = rate_sheet(rates).set_index("treatment")
    assert list(sheet.index) == ["ANML", "OML"]
    assert sheet.loc["OML"].tolist() == ["0.001 ↑", "1e-05 ↓"]
    assert found_rates(SEARCHED, ["ANML"], optimizer="sgd").empty


def test_every_n_whose_best_rate_ends_the_grid_is_noted():
    assert edge_notes(found_rates(SEARCHED, ["ANML", "OML"])) == [
        "At N = 600 the best learning rate is the smallest that was tried, 1e-05, for OML: "
        "a smaller one may be better still.",
        "At N = 10 the best learning rate is the largest that was tried, 0.001, for OML: "
        "a larger one may be better still.",
    ]
    ends = table({(name, n): 1e-3 for name in ("OML", "ANML") for n in (10, 600)})
    assert edge_notes(found_rates(ends, ["ANML", "OML"])) == [
        "At N = 10, 600 the best learning rate is the largest that was tried, 0.001, for ANML; "
        "OML: a larger one may be better still."
    ]
    assert edge_notes(found_rates(SEARCHED, ["ANML"])) == []


def test_all_rates_are_shown_where_each_model_had_a_search_of_its_own():
    """Two of three models agree; one search over all of them would show their rate alone."""
    rates = {0: 1e-4, 1: 1e-5, 2: 1e-4}
    own = [
        table({("ANML", 10): 1e-4, ("ANML", 600): rate}).frame.assign(model_seed=model)
        for model, rate in rates.items()
    ]
    frame = pd.concat(own)
    frame["trajectory_seed"] += 10 * frame["model_seed"]
    searched = Table(frame, SEARCHED.provenance)
    each = found_rates(searched, ["ANML"], each_model=True)
    assert each["models"].tolist() == ["", "1", "0, 2"]
    (row,) = rate_sheet(each).to_dict("records")
    assert row == {
        "treatment": "ANML",
        "N = 10": "0.0001",
        "N = 600": "1e-05 ↓ (model 1); 0.0001 (models 0, 2)",
    }
    assert edge_notes(each) == [
        "At N = 600 the best learning rate is the smallest that was tried, 1e-05, for ANML, "
        "model 1: a smaller one may be better still."
    ]
    together = rate_sheet(found_rates(searched, ["ANML"]))
    assert together["N = 600"].tolist() == ["0.0001"]
