"""What paper and code disagree on: the experiments differ in what they ask and in nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic_disagreements
import synthetic_table
from matplotlib.text import Text
from refusal import refusal

from anml.data import Drawings
from anml.drawings.packed import DRAWINGS_PER_CLASS
from anml.figures.plot_disagreements import NOT_RUN, disagreements_figure, shown_values
from anml.findings.disagreement_values import (
    answer_table,
    answer_values,
    differences,
    find_question,
    gaps_closed,
    leads,
    sense,
    was_run,
)
from anml.meta_testing.trajectories import draw_trajectory
from anml.profiles import Profile, find_profile
from anml.questions import QUESTIONS, Setting
from anml.results import Table, write_table
from anml.running.disagreements import (
    DisagreementJob,
    in_stored_order,
    insert_extra,
    model_seeds,
    numbers,
    plan_disagreements,
    with_extra_class,
)
from anml.running.evaluations import EvaluateJob, plan_evaluations
from anml.running.jobs import Place, TrainJob, Work
from anml.running.points import Point
from anml.running.rate_choice import SGD_RATES
from anml.store.tables import TESTING
from anml.treatments import find_treatment


def test_each_question_has_answers_that_differ_and_a_treatment_for_each():
    assert len({question.id for question in QUESTIONS}) == len(QUESTIONS)
    for question in QUESTIONS:
        assert len(set(question.settings())) == len(question.settings()) > 1
        for setting in question.settings():
            find_treatment(setting.treatment)
    assert refusal(lambda: find_question("colour")).startswith("unknown question 'colour'")


def test_every_setting_is_one_job_at_three_numbers_of_classes():
    profile = find_profile("laptop")
    jobs = plan_disagreements(profile)
    assert numbers(profile) == (10, 200, 600)
    settings = {setting for question in QUESTIONS for setting in question.settings()}
    assert len(jobs) == 3 * len(settings)
    assert len({job.name for job in jobs}) == len(jobs)
    assert len({str(job.result(Place(profile, Path()))) for job in jobs}) == len(jobs)


def test_variants_are_trained_once_but_in_the_papers_profile():
    for name, models in (("laptop", 1), ("paper", 10)):
        waits = plan_disagreements(find_profile(name))
        variant = DisagreementJob(Setting("ANML (first order)"), 10)
        assert waits[variant] == [TrainJob("anml-first-order", seed) for seed in range(models)]
    base = DisagreementJob(Setting("ANML"), 10)
    assert plan_disagreements(find_profile("laptop"))[base] == [
        EvaluateJob(Point("ANML", 10), seed) for seed in range(4)
    ]
    assert len(model_seeds(find_profile("laptop"), [Setting("ANML"), Setting("OML")])) == 4


def test_a_run_of_some_models_asks_what_they_can_answer():
    laptop = find_profile("laptop")  # has variants of model 0 alone
    for models, variants in (((0, 2), {"ANML (first order)"}), ((1,), set())):
        jobs = plan_disagreements(replace(laptop, models=models))
        asked = {job.setting.treatment for job in jobs}
        assert "ANML" in asked
        assert asked & {"ANML (first order)"} == variants
        assert jobs[DisagreementJob(Setting("ANML"), 10)] == [
            EvaluateJob(Point("ANML", 10), seed) for seed in models
        ]


@pytest.mark.parametrize("n", [5, 600])
def test_the_660th_class_changes_nothing_but_itself(n):
    changed = 0
    for seed in range(60):
        before = draw_trajectory(seed, n)
        after = insert_extra(before)
        assert len(set(after.classes.tolist())) == n
        if 659 not in after.classes:
            assert after is before
            continue
        changed += 1
        place = after.classes.tolist().index(659)
        for old, new in ((before.classes, after.classes), (before.train, after.train)):
            np.testing.assert_array_equal(new[:place], old[:place])
            np.testing.assert_array_equal(new[place + 1 :], old[place:-1])
        for train, test in zip(after.train, after.test, strict=True):
            assert sorted([*train, *test]) == list(range(DRAWINGS_PER_CLASS))
    # A class is among N of 660 with probability N / 660.
    assert changed == pytest.approx(60 * n / 660, abs=6)


def test_stored_order_has_the_same_classes_and_drawings():
    before = draw_trajectory(3, 40)
    after = in_stored_order(before)
    assert after.seed == before.seed
    assert after.classes.tolist() == sorted(before.classes.tolist())
    assert after.classes.tolist() != before.classes.tolist()
    for place, index in enumerate(before.classes):
        there = after.classes.tolist().index(index)
        np.testing.assert_array_equal(after.train[there], before.train[place])
        np.testing.assert_array_equal(after.test[there], before.test[place])


def test_the_660th_class_is_the_background_class_that_neither_split_uses(
    noise_drawings: Drawings,
):
    more = with_extra_class(noise_drawings)
    np.testing.assert_array_equal(more.meta_train, noise_drawings.meta_train)
    np.testing.assert_array_equal(more.meta_test[:-1], noise_drawings.meta_test)
    np.testing.assert_array_equal(more.meta_test[-1], noise_drawings.images[963])
    assert len(more.meta_test) == 660
    assert len(noise_drawings.meta_test) == 659


@pytest.fixture(scope="module")
def parts(noise_drawings: Drawings, tiny: Profile, tmp_path_factory) -> dict[Setting, list[dict]]:
    """The rows that each of ANML's jobs leaves, from one tiny model of two seeds."""
    profile = replace(tiny, model_seeds=2)
    place = Place(profile, tmp_path_factory.mktemp("run"))
    wanted = {s for q in QUESTIONS for s in q.settings() if s.treatment.startswith("ANML")}
    waits = plan_disagreements(profile) | plan_evaluations(profile)
    jobs = [job for job in waits if isinstance(job, DisagreementJob) and job.n_classes == 3]
    rows = {}

    def run(job: Work) -> None:
        for other in waits.get(job, []):
            if not other.result(place).is_file():
                run(other)
        steps = []
        job.run(place, noise_drawings, steps.append)
        assert sum(steps) == job.steps(profile)

    for job in jobs:
        if job.setting in wanted:
            run(job)
            rows[job.setting] = json.loads(job.result(place).read_text())["tables"]["disagreements"]
    return rows


def test_what_the_comparison_measures_anyway_is_taken_from_there(parts):
    """A setting of the comparison has no search of its own: the rates are the comparison's."""
    profile = find_profile("laptop")
    own = [job.setting for job in plan_disagreements(profile) if not job.evaluations(profile)]
    assert Setting("ANML") not in own
    assert Setting("OML-OLFT") not in own
    for setting in parts:
        assert (setting in own) == (setting != Setting("ANML"))
    settings = (
        Setting("ANML"),
        Setting("ANML", extra_class=True),
        Setting("ANML", stored_order=True),
    )
    rates = [{row["learning_rate"] for row in parts[setting]} for setting in settings]
    assert rates[0] == rates[1] == rates[2]


def test_jobs_leave_rows_of_every_question_that_has_their_setting(parts, tmp_path):
    rows = [row for found in parts.values() for row in found]
    frame = pd.DataFrame(rows).assign(profile="smoke", data="glyphs")
    source = synthetic_table.provenance("glyphs", "smoke")
    write_table(tmp_path / "disagreements.parquet", frame, source)  # refuses what does not fit
    expected = {
        (question.id, answer)
        for question in QUESTIONS
        for answer, setting in question.answers.items()
        if setting in parts
    }
    assert set(zip(frame["question"], frame["answer"], strict=True)) == expected
    # A question with a variant compares the models that the variant has: one.
    seeds = frame.groupby("question")["model_seed"].nunique()
    assert seeds["order-anml"] == seeds["linear"] == 1
    assert seeds["optimizer"] == seeds["drawings"] == 2


def test_sgd_searches_rates_of_its_own(parts):
    sgd = {row["learning_rate"] for row in parts[Setting("ANML", optimizer="sgd")]}
    assert sgd <= set(SGD_RATES)


def test_settings_differ_and_answers_share_their_trajectories(parts):
    def seen(setting: Setting) -> list:
        return [(row["model_seed"], row["trajectory_seed"]) for row in parts[setting]]

    base = set(seen(Setting("ANML")))
    for setting in parts:
        assert set(seen(setting)) <= base


def test_values_and_differences_are_the_tables():
    table = synthetic_disagreements.table({"first order (code)": -0.1})
    question = find_question("order-anml")
    values = answer_values(table, question)
    frame = table.frame[table.frame["question"] == question.id]
    for row in values.itertuples():
        same = (frame["answer"] == row.answer) & (frame["metric"] == row.metric)
        chosen = frame[same & (frame["n_classes"] == row.n_classes)]
        assert row.mean == pytest.approx(chosen["value"].mean())
    gaps = differences(table, question)
    assert gaps["mean"].tolist() == pytest.approx([-0.1, -0.1], abs=5e-3)
    sheet = answer_table(table, question)
    assert list(sheet["answer"]) == 2 * list(question.answers)
    assert set(sheet["rate"]) == {"0.001"}
    for grid, arrow in (([1e-3, 1e-4], "\N{UPWARDS ARROW}"), ([1e-2, 1e-3], "\N{DOWNWARDS ARROW}")):
        values = table.provenance.profile_values | {"learning_rates": grid}
        edge = Table(table.frame, replace(table.provenance, profile_values=values))
        assert set(answer_table(edge, question)["rate"]) == {f"0.001 {arrow}"}


def test_a_difference_is_called_one_only_where_the_interval_says_so():
    gaps = {"first order (code)": -0.1, "SGD (paper)": 0.1}
    table = synthetic_disagreements.table(gaps)
    for name, verdict in (("order-anml", "worse"), ("optimizer", "better")):
        lines = sense(table, find_question(name))
        assert [line.endswith(f": {verdict}.") for line in lines] == [True, True]
        assert "after 50 classes" in lines[0]  # the longest first, then where else it differs
    (line,) = sense(table, find_question("drawings"))
    assert "tell from chance" in line
    assert "tried" not in line
    one = table.frame[(table.frame["model_seed"] == 0) & (table.frame["trajectory_seed"] == 0)]
    lines = sense(Table(one, table.provenance), find_question("order-anml"))
    assert "too few replicates" in lines[0]
    assert lines[-1].startswith("One model each")


def test_a_difference_at_the_end_of_a_grid_is_said_to_be_there():
    table = synthetic_disagreements.table({"SGD (paper)": 0.1})  # every rate is 0.001
    values = table.provenance.profile_values | {"learning_rates": [1e-3, 1e-4]}
    edge = Table(table.frame, replace(table.provenance, profile_values=values))
    for line in sense(edge, find_question("optimizer")):  # of SGD's rates it is no end
        assert "; Adam (code) has the largest rate that was tried there" in line
    (line,) = sense(edge, find_question("drawings"))
    assert "; both have the largest rate that was tried there" in line


def test_what_was_not_run_is_shown_so():
    some = tuple(question for question in QUESTIONS if question.id != "linear")
    table = synthetic_disagreements.table({}, some)
    linear = find_question("linear")
    assert not was_run(table, linear)
    assert sense(table, linear) == [
        f"{answer}: not run at this scale." for answer in list(linear.answers)[1:]
    ]
    first, second, *_ = linear.answers
    everything = synthetic_disagreements.table({})
    frame = everything.frame
    rows = frame[(frame["question"] != "linear") | (frame["answer"] == second)]
    assert sense(Table(rows, everything.provenance), linear)[0] == (
        f"{second}: nothing to compare with, {first} was not run at this scale."
    )
    figure = disagreements_figure(shown_values(table), table.provenance)
    drawn = [axis for axis in figure.axes if axis.axison]
    assert [axis.get_title(loc="left") for axis in drawn] == [question.title for question in some]
    (said,) = [text.get_text() for text in figure.texts if NOT_RUN in text.get_text()]
    assert said == f"{NOT_RUN}: {linear.title}"
    nothing = Table(table.frame.iloc[:0], table.provenance)
    figure = disagreements_figure(shown_values(nothing), table.provenance)
    assert figure.axes == []
    (said,) = [text.get_text() for text in figure.texts if NOT_RUN in text.get_text()]
    assert all(question.title in said.replace("\n", " ") for question in QUESTIONS)


def test_how_much_of_the_gap_is_closed_is_counted_over_what_all_three_have():
    table = synthetic_disagreements.table({})
    frame = table.frame
    value = {"OML": 0.2, "ANML": 0.6, "OML, linear PLN": 0.5, "OML-OLFT": 0.2}
    frame = frame.assign(value=frame["answer"].map(value).fillna(frame["value"]))
    lines = gaps_closed(Table(frame, table.provenance))
    assert [line.split(" of the gap")[0] for line in lines] == [
        "OML, linear PLN closes 75%",
        "OML-OLFT closes 0%",
    ]
    assert ", 40.0 points after 50 classes." in lines[0]
    behind = frame.assign(value=frame["value"].mask(frame["answer"] == "ANML", 0.1))
    assert gaps_closed(Table(behind, table.provenance)) == []


def test_leads_are_of_what_all_four_have() -> None:
    table = synthetic_disagreements.table({"as the code": -0.2})
    frame = table.frame
    frame = frame.assign(value=frame["value"] - 0.1 * (frame["question"] == "released-oml"))

    def points(line: str) -> list[float]:
        return [float(part) for part in re.findall(r"([+-][\d.]+) points", line)]

    (line,) = leads(Table(frame, table.provenance))
    assert line.startswith("ANML against OML after 50 classes (3 models × 3 trajectories): ")
    assert points(line) == pytest.approx([10.0, 10.0], abs=0.5)
    dropped = (frame["question"] == "released-oml") & (frame["n_classes"] == 50)
    (line,) = leads(Table(frame[~dropped], table.provenance))
    assert "after 10 classes" in line
    ahead = (frame["question"] == "released-anml") & (frame["answer"] == "as the code")
    further = frame.assign(value=frame["value"] + 0.2 * ahead)
    (line,) = leads(Table(further, table.provenance))
    assert points(line) == pytest.approx([10.0, 30.0], abs=0.5)
    assert leads(Table(frame[~ahead], table.provenance)) == []
    assert leads(Table(frame.iloc[:0], table.provenance)) == []


def test_a_panel_shows_every_answer_at_its_values():
    table = synthetic_disagreements.table({"first order (code)": -0.1})
    values = shown_values(table)
    figure = disagreements_figure(values, table.provenance)
    for axis, question in zip(figure.axes, QUESTIONS, strict=False):
        assert axis.get_title(loc="left") == question.title
        lines = {line.get_label(): line for line in axis.lines}
        for answer in question.answers:
            chosen = (values["question"] == question.id) & (values["answer"] == answer)
            means = values[chosen & (values["metric"] == TESTING)]["mean"]
            np.testing.assert_allclose(lines[answer].get_ydata(), 100 * means)
        legend = [text.get_text() for text in axis.get_legend().get_texts()]
        assert legend == list(question.answers)
    embedded = synthetic_table.provenance("glyphs")
    words = [t.get_text() for t in disagreements_figure(values, embedded).findobj(Text)]
    assert "EMBEDDED DRAWINGS, NOT OMNIGLOT" in words


def test_an_answer_that_was_not_run_is_not_in_the_legend():
    table = synthetic_disagreements.table({})
    values = shown_values(table)
    question = QUESTIONS[0]
    first = next(iter(question.answers))
    few = values[(values["question"] != question.id) | (values["answer"] == first)]
    axis = disagreements_figure(few, table.provenance).axes[0]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == [first]
