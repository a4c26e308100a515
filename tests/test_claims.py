"""The published numbers: every row is understood, bounds and ranges included."""

from __future__ import annotations

import re

import pytest

from anml.findings.claims import COLUMNS, SOURCES, published, published_points
from anml.findings.measure import measured
from anml.store.tables import TESTING, TRAINING


def test_rows_are_unique_and_complete():
    rows = published()
    assert tuple(rows.columns) == COLUMNS
    assert rows["id"].is_unique
    assert set(rows["source"]) == set(SOURCES)
    assert set(rows["unit"]) == {"percent"}
    assert rows["value"].str.fullmatch(r"<?\d+(\.\d+)?").all()
    assert rows["n_classes"].str.fullmatch(r"(>=)?\d*").all()


def test_each_row_is_measured_by_something():
    for _, row in published().iterrows():
        assert measured(row, {}) is None  # ValueError where nothing measures such a metric


def test_a_copy_is_given_away():
    mine = published()
    mine["value"] = "0"
    assert (published()["value"] != "0").any()


@pytest.mark.parametrize("metric", [TRAINING, TESTING])
def test_points_are_plain_values_at_one_n(metric):
    points = published_points(metric)
    assert len(points) >= 10
    assert points["value"].between(0, 1).all()
    bounds = published()[lambda rows: rows["value"].str.startswith("<")]["id"]
    assert not set(points["id"]) & set(bounds)


def test_training_accuracies_are_read_from_the_notes():
    points = published_points(TRAINING).set_index("id")["value"]
    noted = published().set_index("id")["note"]
    assert points["numenta_600_training"] == pytest.approx(0.93)
    assert re.search("training accuracy 93", noted["numenta_600"])


def test_another_regime_has_its_own_points():
    points = published_points(TESTING, "oracle 20 epochs").set_index("id")["value"]
    assert dict(points) == pytest.approx(
        {"scratch_20ep": 0.618, "pretrain_20ep": 0.4866, "anml_20ep": 0.7537}
    )
