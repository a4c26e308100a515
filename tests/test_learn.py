"""What a meta-test leaves: the learned layers, whole or after the first classes alone."""

from dataclasses import replace

import pytest
import torch
from refusal import refusal

from anml.data import Drawings
from anml.meta_test import Learned, Run, learn, meta_test
from anml.meta_testing.regimes import ORACLE, SEQUENTIAL
from anml.meta_testing.trajectories import Trajectory, draw_trajectory
from anml.meta_train import initial_model
from anml.profiles import Profile
from anml.treatments import TREATMENTS, Treatment

LINEAR = pytest.mark.parametrize("treatment", [TREATMENTS["ANML"], TREATMENTS["OML"]])


def accuracy(own: Learned, trajectory: Trajectory) -> list[float]:
    """On the held-out drawings of each of a trajectory's classes."""
    which = torch.arange(len(trajectory.classes))[:, None]
    chosen = own.features[which, torch.from_numpy(trajectory.test)]
    guess = own.outputs(chosen.flatten(0, 1)).argmax(1).unflatten(0, chosen.shape[:2])
    return (guess == which).double().mean(1).tolist()


def first_of(trajectory: Trajectory, classes: int) -> Trajectory:
    parts = {name: getattr(trajectory, name)[:classes] for name in ("classes", "train", "test")}
    return replace(trajectory, **parts)


@LINEAR
def test_what_is_left_is_what_meta_test_scores(
    treatment: Treatment, tiny: Profile, few: Drawings
) -> None:
    model = initial_model(treatment.training, tiny, 0)
    runs = [Run(draw_trajectory(seed, 4, 10), 0.05, ORACLE) for seed in range(2)]
    scores = meta_test(treatment, model, few, runs)
    learned = list(learn(treatment, model, few, runs))
    assert [own.run for own in learned] == runs
    assert [list(score.per_class) for score in scores] == [
        accuracy(own, own.run.trajectory) for own in learned
    ]


@LINEAR
def test_the_first_classes_are_where_learning_all_of_them_passes(
    treatment: Treatment, tiny: Profile, few: Drawings
) -> None:
    model = initial_model(treatment.training, tiny, 0)
    runs = [Run(draw_trajectory(seed, 4, 10), 0.05) for seed in range(2)]
    heard: list[int] = []
    learned = list(learn(treatment, model, few, runs, "sgd", heard.append, classes=2))
    assert sum(heard) == 2 * 2 * 15
    for own in learned:
        assert own.features.shape[:2] == (4, 20)
        short = first_of(own.run.trajectory, 2)
        (score,) = meta_test(treatment, model, few, [Run(short, 0.05)], "sgd")
        assert list(score.per_class) == accuracy(own, short)


def test_in_any_order_the_others_drawings_are_left_out(tiny: Profile, few: Drawings) -> None:
    """Drawings of classes that are not learned change nothing."""
    model = initial_model("anml", tiny, 0)
    run = Run(draw_trajectory(0, 4, 10), 0.05, ORACLE)
    others = replace(few, images=few.images.copy())
    unlearned = run.trajectory.classes[2:]
    others.meta_test[unlearned] = 255 - few.meta_test[unlearned]
    heads = [
        next(learn(TREATMENTS["ANML"], model, drawings, [run], classes=2)).layers[-1]
        for drawings in (few, others)
    ]
    for mine, other in zip(*heads, strict=True):
        torch.testing.assert_close(mine, other)


def test_what_cannot_be_learned_so_is_refused(tiny: Profile, few: Drawings) -> None:
    anml, unlimited = TREATMENTS["ANML"], TREATMENTS["ANML-Unlimited"]
    model = initial_model("anml", tiny, 0)
    runs = [Run(draw_trajectory(0, 3, 10), 0.1, SEQUENTIAL)]
    for classes in (0, 4):
        message = refusal(lambda n=classes: learn(anml, model, few, runs, classes=n))
        assert message == f"classes = {classes}: choose 1 to 3, as many as a run has"
    message = refusal(lambda: learn(unlimited, model, few, runs))
    assert message.startswith("treatment 'ANML-Unlimited' learns convolutions: choose")
    message = refusal(lambda: learn(anml, model, few, runs, "rmsprop"))
    assert message.startswith("unknown optimizer 'rmsprop'")
