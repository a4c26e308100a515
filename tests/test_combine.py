"""Recorded results that grow: two tables become one, and what is refused."""

from dataclasses import replace

import pandas as pd
import pytest
import synthetic_lengths as synthetic
from refusal import refusal

from anml.profiles import PROFILES
from anml.recording import combine as combine_module
from anml.recording.combine import LOG, STAGES, combine, finish, without_recorded
from anml.results import Table
from anml.store.tables import checked


@pytest.fixture
def two_models() -> Table:
    return synthetic.accuracy(models=2)


def test_rows_of_both_runs_come_out_with_both_origins(two_models: Table) -> None:
    both = combine("lengths", synthetic.of_model(two_models, 0), synthetic.of_model(two_models, 1))
    assert checked("lengths", both.frame).equals(checked("lengths", two_models.frame))
    source = both.provenance
    assert source.commit == f"{'0' * 12}; {'1' * 12}"
    assert source.device == "CPU 0; CPU 1"
    assert source.seconds == 201.0


def test_the_same_observation_twice_is_refused(two_models: Table) -> None:
    message = refusal(lambda: combine("lengths", two_models, synthetic.of_model(two_models, 1)))
    rows = len(two_models.frame) // 2
    assert message.startswith(f"lengths: {rows} of the run's {rows} rows are recorded already")
    assert "without --add" in message


def test_a_table_without_keys_is_compared_by_everything_but_its_values() -> None:
    table = synthetic.rates()
    moved = Table(table.frame.assign(value=table.frame["value"] / 2), table.provenance)
    assert "recorded already" in refusal(lambda: combine("length_rates", table, moved))
    other = Table(table.frame.assign(model_seed=1), table.provenance)
    assert len(combine("length_rates", table, other).frame) == 2 * len(table.frame)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data_fingerprint": "0" * 16}, "drawings"),
        ({"profile": "quick"}, "profile"),
        ({"package_version": "9"}, "version"),
        ({"profile_values": {"anml_inner_rate": 0.3}}, "'anml_inner_rate'"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    change: dict[str, object], said: str, two_models: Table
) -> None:
    standing, new = synthetic.of_model(two_models, 0), synthetic.of_model(two_models, 1)
    values = PROFILES["laptop"].settings()
    standing = replace(standing, provenance=replace(standing.provenance, profile_values=values))
    other = {"profile_values": values, **change}
    if "profile_values" in change:
        other["profile_values"] = values | change["profile_values"]
    new = replace(new, provenance=replace(new.provenance, **other))
    message = refusal(lambda: combine("lengths", standing, new))
    assert said in message
    assert "--to" in message


def test_how_much_was_measured_may_differ_and_becomes_what_either_has(two_models: Table) -> None:
    standing, new = (
        replace(table, provenance=replace(table.provenance, profile_values=values))
        for table, values in (
            (
                synthetic.of_model(two_models, 0),
                {"length_models": 1, "length_iterations": [1000, 4000]},
            ),
            (
                synthetic.of_model(two_models, 1),
                {"length_models": 2, "length_iterations": [1000, 2000]},
            ),
        )
    )
    values = combine("lengths", standing, new).provenance.profile_values
    assert values == {"length_models": 2, "length_iterations": [1000, 2000, 4000]}


def test_totals_are_summed_and_the_later_state_of_what_is_under_way_stays() -> None:
    provenance = synthetic.accuracy().provenance
    rows = {"profile": "laptop", "data": "omniglot", "stage": "lengths", "device": "CPU"}
    hours = [
        pd.DataFrame([{**rows, "group": group, "jobs": jobs, "seconds": seconds}])
        for group, jobs, seconds in (("a", 2, 10.0), ("a", 1, 5.0), ("b", 1, 1.0))
    ]
    standing, new = hours[0], pd.concat(hours[1:])
    both = combine("stages", Table(standing, provenance), Table(new, provenance)).frame
    assert checked("stages", both)[["group", "jobs", "seconds"]].values.tolist() == [
        ["a", 3, 15.0],
        ["b", 1, 1.0],
    ]
    rows |= {"treatment": "anml", "metric": "meta-loss", "asked": 9, "value": 1.0}
    rows.pop("stage")
    states = {
        (seed, done): {**rows, "model_seed": seed, "done": done, "iteration": done, "seconds": done}
        for seed, done in ((0, 3), (0, 5), (1, 4))
    }
    before = pd.DataFrame([states[0, 3], states[1, 4]])
    after = pd.DataFrame([states[0, 5]])
    both = combine("unfinished_log", Table(before, provenance), Table(after, provenance))
    frame = both.frame
    assert sorted(zip(frame["model_seed"], frame["done"], strict=True)) == [(0, 5), (1, 4)]
    assert both.provenance.seconds == 5 + 4  # not the 3 of the earlier state again


def curve(seed: int, iterations: list[int], asked: int = 12, **columns: object) -> pd.DataFrame:
    """The rows of a log: one metric of one meta-training at `iterations`."""
    rows = {"profile": "laptop", "data": "omniglot", "treatment": "anml", "model_seed": seed}
    own = {"iteration": iterations, "metric": "meta-loss", "value": 1.0}
    return pd.DataFrame({**own, **rows, "asked": asked, **columns})


def test_a_curve_that_begins_on_its_way_keeps_what_was_recorded_before() -> None:
    provenance = synthetic.accuracy().provenance
    made = {"seconds": 3.0, "device": "CPU"}
    before = Table(curve(0, [2, 4, 6], done=6, **made), provenance)
    after = Table(curve(0, [8, 12], done=12, **made | {"seconds": 7.0}), provenance)
    both = combine("unfinished_log", before, after)
    assert sorted(both.frame["iteration"]) == [2, 4, 8, 12]
    assert set(both.frame["done"]) == {12}
    assert both.provenance.seconds == 7.0
    whole = Table(curve(0, [4, 8, 12], done=12, **made), provenance)
    assert sorted(combine("unfinished_log", before, whole).frame["iteration"]) == [4, 8, 12]


def test_an_earlier_state_does_not_take_the_place_of_a_later_one() -> None:
    provenance = synthetic.accuracy().provenance
    further = Table(curve(0, [4, 8, 12], done=12, seconds=7.0, device="CPU"), provenance)
    earlier = pd.concat(curve(seed, [2, 4], done=4, seconds=2.0, device="GPU") for seed in (0, 1))
    both = combine("unfinished_log", further, Table(earlier, provenance))
    own = both.frame[both.frame["model_seed"] == 0]
    assert own["iteration"].tolist() == [4, 8, 12]
    assert set(own["device"]) == {"CPU"}
    assert set(both.frame["model_seed"]) == {0, 1}
    assert both.provenance.seconds == 7.0 + 2.0


def test_probes_of_two_ways_to_meta_train_anml_are_not_mixed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = synthetic.accuracy().provenance
    tables = [
        Table(pd.DataFrame({"model_seed": [i]}), replace(made, profile_values=values))
        for i, values in enumerate(
            {**made.profile_values, "probed": probed}
            for probed in (["anml"], ["anml-redraw-kept"], ["oml"])
        )
    ]
    monkeypatch.setattr(combine_module, "KEYS", {})
    message = refusal(lambda: combine("knn", tables[0], tables[1]))
    assert "probed 'anml', 'anml-redraw-kept'" in message
    assert "--to" in message
    both = combine("knn", tables[0], tables[2])
    assert both.provenance.profile_values["probed"] == ["anml", "oml"]
    # Other tables tell treatments apart.
    both = combine("lengths", tables[0], tables[1])
    assert both.provenance.profile_values["probed"] == ["anml-redraw-kept"]


def test_a_finished_meta_training_is_under_way_no_longer() -> None:
    provenance = synthetic.accuracy().provenance
    made = {"device": "CPU", "done": 6}
    begun = [curve(seed, [2, 4, 6], **made, seconds=3.0 + seed) for seed in (0, 1)]
    log = Table(curve(1, [8, 12]).drop(columns="asked"), replace(provenance, seconds=9.0))
    left, whole = finish(Table(pd.concat(begun), provenance), log)
    assert set(left.frame["model_seed"]) == {0}
    assert left.provenance.seconds == 3.0
    assert sorted(whole.frame["iteration"]) == [2, 4, 8, 12]
    assert list(whole.frame) == list(log.frame)
    assert whole.provenance.seconds == 9.0
    left, _ = finish(Table(begun[1], provenance), log)
    assert left is None


def one_model(trajectory: int) -> dict[str, Table]:
    """The tables of a run that measured model 0 for 10 seconds after 1000 of meta-training."""
    groups = {"meta-train.anml-seed0": 1000.0, "meta-test.anml-sequential": 10.0}
    rows = {"profile": "laptop", "data": "omniglot", "device": "CPU", "jobs": 1}
    stages = [
        {**rows, "stage": group.partition(".")[0], "group": group, "seconds": seconds}
        for group, seconds in groups.items()
    ]
    measured = synthetic.accuracy().frame.query("iterations == 1000").drop(columns="iterations")
    frames = {
        STAGES: pd.DataFrame(stages),
        LOG: curve(0, [4, 8, 12]).drop(columns="asked"),
        "meta_test.parquet": measured.assign(trajectory_seed=measured.trajectory_seed + trajectory),
    }
    made = replace(synthetic.accuracy().provenance, seconds=1010.0)
    return {name: Table(frame, made) for name, frame in frames.items()}


@pytest.mark.parametrize("began_with_the_recorded_model", [False, True])
def test_a_model_that_two_runs_measured_was_trained_once(
    began_with_the_recorded_model: bool,
) -> None:
    """In the tables that both have; one that is new keeps the time of what it rests on."""
    standing, run = one_model(0), one_model(100)
    run["knn.parquet"] = run["meta_test.parquet"]
    under_way = curve(1, [2, 4], done=4, seconds=3.0, device="CPU")
    made = replace(run[STAGES].provenance, seconds=3.0)
    for tables in (standing, run):
        tables["unfinished_log.parquet"] = Table(under_way, made)
    if began_with_the_recorded_model:
        del run[LOG]  # as of models that were recorded, which have none
    own = without_recorded(run, standing)
    assert own.keys() == {*standing, *run} - {LOG}
    assert own["knn.parquet"].provenance.seconds == 1010.0
    assert own["unfinished_log.parquet"].provenance.seconds == 3.0
    both = {
        name: combine(name.removesuffix(".parquet"), standing[name], own[name])
        for name in (STAGES, "meta_test.parquet")
    }
    assert {name: table.provenance.seconds for name, table in both.items()} == {
        STAGES: 1020.0,
        "meta_test.parquet": 1020.0,
    }
    stages = both[STAGES].frame.set_index("group")["seconds"]
    assert stages.to_dict() == {
        "meta-train.anml-seed0": 1000.0,
        "meta-test.anml-sequential": 20.0,
    }


@pytest.mark.parametrize(
    ("standing", "new", "expected"),
    [([1], [0], [0, 1]), ([], [1], []), ([1], [], []), (None, [1], [])],
)
def test_the_models_of_runs_that_are_added(
    standing: list[int] | None, new: list[int], expected: list[int]
) -> None:
    """None named are all of them, as in tables from before a run could name some."""
    tables = []
    for seed, models in enumerate((standing, new)):
        table = synthetic.accuracy()
        values = dict(table.provenance.profile_values) | {"models": models}
        if models is None:
            del values["models"]
        provenance = replace(table.provenance, profile_values=values)
        tables.append(Table(table.frame.assign(model_seed=seed), provenance))
    both = combine("meta_test", *(Table(t.frame.iloc[:4], t.provenance) for t in tables))
    assert both.provenance.profile_values["models"] == expected
