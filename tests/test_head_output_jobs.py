"""What the head's rows answer half-way: against the rows themselves, drawing by drawing."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from anml.data import Drawings
from anml.meta_test import Learned, Run, learn, redraw_head
from anml.meta_testing.head_rules import HEAD_RULES
from anml.meta_testing.trajectories import draw_trajectory
from anml.profiles import PROFILES, Profile
from anml.running.head_jobs import plan_head_rules
from anml.running.head_output_jobs import HeadOutputJob, output_rows, plan_head_outputs
from anml.running.jobs import Place, TrainJob, read_part, treatment_model
from anml.running.plan import plan
from anml.store.tables import BELOW, LEARNED, OF_LEARNED, OF_TO_COME, OWN, TO_COME, checked
from anml.treatments import find_treatment


def found(rows: list[dict]) -> dict[tuple[str, str], float]:
    return {(row["drawings"], row["metric"]): row["value"] for row in rows}


def test_own_rows_and_others_are_told_apart() -> None:
    """Row r answers r + 10 to its own class, r to others: two of four classes are learned."""
    trajectory = draw_trajectory(0, 4, 10)
    features = torch.eye(4).unsqueeze(1).expand(4, 20, 4)  # class c shows unit c
    rows = torch.arange(6.0)
    learned = Learned(Run(trajectory, 0.1), [(10 * torch.eye(6, 4), rows)], features)
    assert found(list(output_rows(HeadOutputJob("SGD", 0), learned, 2))) == {
        (OF_LEARNED, OWN): 10.5,
        (OF_LEARNED, LEARNED): 0.5,  # of the other row learned alone
        (OF_LEARNED, TO_COME): 2.5,
        (OF_LEARNED, BELOW): 1.0,
        (OF_TO_COME, OWN): 12.5,
        (OF_TO_COME, LEARNED): 0.5,
        (OF_TO_COME, TO_COME): 2.5,
        (OF_TO_COME, BELOW): 1.0,
    }
    sunk = Learned(learned.run, [(torch.eye(6, 4), -rows)], features)
    below = found(list(output_rows(HeadOutputJob("SGD", 0), sunk, 2)))
    # Row 1 ties with row 0, and a tie is not above; 2 and 3 answer -1 and -2 to their own.
    assert below[OF_LEARNED, BELOW] == 0.5
    assert below[OF_TO_COME, BELOW] == 0.0


@pytest.mark.parametrize("n_classes", [2, 3])
def test_of_few_classes_what_is_not_there_has_no_row(n_classes: int) -> None:
    trajectory = draw_trajectory(0, n_classes, 10)
    features = torch.rand(n_classes, 20, 3)
    layer = (torch.rand(5, 3), torch.rand(5))
    learned = Learned(Run(trajectory, 0.1), [layer], features)
    rows = found(list(output_rows(HeadOutputJob("SGD", 0), learned, 1)))
    assert (OF_LEARNED, LEARNED) not in rows
    assert (OF_LEARNED, BELOW) not in rows
    assert ((OF_TO_COME, TO_COME) in rows) == (n_classes > 2)


def test_a_run_that_diverged_leaves_no_answers() -> None:
    features = torch.rand(4, 20, 3)
    layer = (torch.full((5, 3), float("inf")), torch.zeros(5))
    learned = Learned(Run(draw_trajectory(0, 4, 10), 0.1), [layer], features)
    assert list(output_rows(HeadOutputJob("SGD", 0), learned, 2)) == []


@pytest.mark.parametrize("rule", HEAD_RULES)
def test_what_a_job_leaves(
    rule: str, tiny: Profile, noise_drawings: Drawings, tmp_path: Path
) -> None:
    """What `learn` leaves, at every rate; rows to come that are held answer as they were drawn."""
    profile = replace(tiny, n_classes=(2, 5), head_trajectories=2)
    place, job = Place(profile, tmp_path), HeadOutputJob(rule, 0)
    ((planned, waits),) = [one for one in plan_head_outputs(profile).items() if one[0] == job]
    assert waits == [TrainJob("anml", 0)]
    waits[0].run(place, noise_drawings, lambda n: None)
    heard: list[int] = []
    planned.run(place, noise_drawings, heard.append)
    assert sum(heard) == job.steps(profile) == 4 * 2 * 2 * 15
    rows = read_part(job, place)["tables"]["head_outputs"]
    frame = checked("head_outputs", pd.DataFrame(rows).assign(profile="tiny", data="omniglot"))
    own = HEAD_RULES[rule]
    assert sorted(frame["learning_rate"].unique()) == sorted(own.rates)
    assert set(frame["learned"]) == {2}
    model = treatment_model(place, "anml", 0)
    anml, runs = find_treatment("ANML"), [Run(draw_trajectory(0, 5), own.rates[-1])]
    (learned,) = learn(anml, model, noise_drawings, runs, own.optimizer, head=own.head, classes=2)
    mine = frame[(frame["learning_rate"] == own.rates[-1]) & (frame["trajectory_seed"] == 0)]
    assert found(mine.to_dict("records")) == pytest.approx(
        found(list(output_rows(job, learned, 2))), abs=1e-5
    )
    weight, bias = torch.empty_like(model.head.weight), torch.empty_like(model.head.bias)
    redraw_head(weight, bias, seed=0)
    if own.head.from_zero:
        weight.zero_()
    assert weight.shape[1] == learned.features.shape[2]  # no unit is dead
    drawn = Learned(learned.run, [(weight, bias)], learned.features)
    before, after = (
        found(list(output_rows(job, one, 2)))[OF_TO_COME, OWN] for one in (drawn, learned)
    )
    assert (after == pytest.approx(before, abs=1e-6)) == own.head.hold_unmet


def test_every_profile_has_a_job_beside_each_of_the_rules() -> None:
    for profile in PROFILES.values():
        asked = {(job.rule, job.seed) for job in plan_head_rules(profile)}
        outputs = plan_head_outputs(profile)
        assert {(job.rule, job.seed) for job in outputs} == asked
        both = plan(profile, ["head:"])
        assert set(outputs) | set(plan_head_rules(profile)) <= set(both)
