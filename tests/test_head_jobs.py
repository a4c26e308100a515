"""ANML's head learned in other ways: what each rule changes, and what its job leaves."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from refusal import refusal

from anml import meta_test as module
from anml.data import Drawings
from anml.meta_test import Run, meta_test
from anml.meta_testing.head_rules import HEAD_RULES, PAPERS_HEAD, Head
from anml.meta_testing.trajectories import draw_trajectory
from anml.meta_train import initial_model
from anml.profiles import PROFILES, Profile
from anml.running.head_jobs import HeadJob, plan_head_rules
from anml.running.jobs import Place, TrainJob, read_part, treatment_model
from anml.store.tables import TESTING, TRAINING, checked
from anml.treatments import find_treatment

ANML = find_treatment("ANML")


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The head before and after every run of the test, bias as the last column."""
    plain, seen = module.learn_linears, []

    def spy(features, drawings, labels, starts, *args, **options):
        kept = [[(w.clone(), b.clone()) for w, b in layers] for layers in starts]
        found = list(plain(features, drawings, labels, iter(kept), *args, **options))
        for before, after in zip(kept, found, strict=True):
            seen.append(tuple(torch.cat((w, b[:, None]), 1) for w, b in (before[-1], after[-1])))
        return found

    monkeypatch.setattr(module, "learn_linears", spy)
    return seen


@pytest.mark.parametrize("head", [PAPERS_HEAD, Head(hold_unmet=True), Head(from_zero=True)])
def test_which_rows_of_the_head_move(
    head: Head, tiny: Profile, few: Drawings, learned: list[tuple[torch.Tensor, torch.Tensor]]
) -> None:
    """Adam moves every row, those that no drawing is ever of too; held, these stay."""
    model = initial_model("anml", tiny, 0)
    meta_test(ANML, model, few, [Run(draw_trajectory(0, 3, 10), 1e-3)], head=head)
    ((before, after),) = learned
    assert before.any() != head.from_zero
    moved = (after != before).any(1)
    assert moved[:3].all()
    assert (moved[3:] == (not head.hold_unmet)).all()


def test_what_cannot_be_is_refused(tiny: Profile, few: Drawings) -> None:
    model = initial_model("anml", tiny, 0)
    runs = [Run(draw_trajectory(0, 3, 10), 1e-3)]
    held = Head(hold_unmet=True)
    message = refusal(lambda: meta_test(ANML, model, few, runs, "sgd", head=held))
    assert message == "rows are held with Adam alone, and optimizer is 'sgd': choose 'adam'"
    unlimited = find_treatment("ANML-Unlimited")
    message = refusal(lambda: meta_test(unlimited, model, few, runs, head=held))
    assert message.startswith("treatment 'ANML-Unlimited' learns convolutions")


@pytest.mark.parametrize("rule", HEAD_RULES)
def test_what_a_job_leaves(
    rule: str, tiny: Profile, noise_drawings: Drawings, tmp_path: Path
) -> None:
    """The rows are the accuracies of `meta_test` at every rate, classes in parts."""
    profile = replace(tiny, n_classes=(2, 5), head_trajectories=2)
    place, job = Place(profile, tmp_path), HeadJob(rule, 0)
    ((planned, waits),) = [one for one in plan_head_rules(profile).items() if one[0] == job]
    assert waits == [TrainJob("anml", 0)]
    waits[0].run(place, noise_drawings, lambda n: None)
    heard = []
    planned.run(place, noise_drawings, heard.append)
    assert sum(heard) == job.steps(profile)
    rows = read_part(job, place)["tables"]["head_rules"]
    frame = checked("head_rules", pd.DataFrame(rows).assign(profile="tiny", data="omniglot"))
    own = HEAD_RULES[rule]
    assert sorted(frame["learning_rate"].unique()) == sorted(own.rates)
    assert set(frame["part"]) == {1, 2, 3, 4, 5}  # fewer classes than tenths: a part each
    assert set(frame["trajectory_seed"]) == {0, 1}
    model = treatment_model(place, "anml", 0)
    for rate in own.rates[1:3]:
        runs = [Run(draw_trajectory(seed, 5), rate) for seed in (0, 1)]
        for seed, score in enumerate(
            meta_test(ANML, model, noise_drawings, runs, own.optimizer, head=own.head)
        ):
            at = frame[(frame["learning_rate"] == rate) & (frame["trajectory_seed"] == seed)]
            for metric, values in (
                (TESTING, score.per_class),
                (TRAINING, score.per_class_training),
            ):
                found = at[at["metric"] == metric].sort_values("part")["value"]
                assert found.tolist() == pytest.approx(values)
            assert at[at["metric"] == TRAINING]["value"].mean() == pytest.approx(score.training)


def test_every_profile_measures_the_models_that_it_has() -> None:
    for profile in PROFILES.values():
        seeds = {job.seed for job in plan_head_rules(profile)}
        assert seeds == set(range(min(profile.head_models, profile.model_seeds)))
        assert {job.rule for job in plan_head_rules(profile)} == set(HEAD_RULES)
    assert next(iter(HEAD_RULES.values())).head == PAPERS_HEAD
