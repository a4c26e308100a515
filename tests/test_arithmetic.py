"""The count of multiply-adds against the paper's networks, and against what torch really runs."""

from itertools import product
from math import prod

import pytest
import torch
from reference_networks import replicas
from torch.utils.flop_counter import FlopCounterMode

from anml.adapt import Episode, anml_meta_gradient
from anml.figures import arithmetic
from anml.gradients import winograd
from anml.gradients.adapt_oml import oml_meta_gradient
from anml.gradients.supervised import supervised_gradient
from anml.meta_training.training_job import build_model
from anml.models import ANML, OML
from anml.profiles import PROFILES, find_profile

PAPER = PROFILES["paper"]
SMALL = find_profile(
    "smoke",
    {
        **{"inner_steps": 3, "remember": 4},
        **{"pln_channels": 256, "nm_channels": 112, "oml_channels": 256},
    },
)


def forward(layers: list[arithmetic.Convolution]) -> int:
    return sum(layer.forward for layer in layers)


def test_the_papers_towers_forward():
    assert forward(arithmetic.anml_tower(256)) == 676 * 2304 + 121 * 589824 + 9 * 589824
    assert forward(arithmetic.anml_tower(256)) // 10**6 == 78
    assert forward(arithmetic.anml_tower(112)) // 10**6 == 15
    assert forward(arithmetic.oml_tower(256)) // 10**6 == 728


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (ANML(5, 4, 963).pln, forward(arithmetic.anml_tower(5))),
        (ANML(5, 4, 963).nm, forward(arithmetic.anml_tower(4)) + 36 * 45),
        (OML(5, 7, 963), forward(arithmetic.oml_tower(5)) + 45 * 7 + 7 * 963),
    ],
    ids=["PLN", "NM", "OML"],
)
def test_forward_passes_are_what_torch_counts(model, count):
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.rand(2, 1, 28, 28))
    assert counter.get_total_flops() == 2 * 2 * count


def episode(profile) -> Episode:
    drawings = profile.inner_steps + profile.remember
    images, classes = torch.rand(drawings, 1, 28, 28), torch.zeros(1, drawings, dtype=torch.int64)
    return Episode(images, classes, profile.inner_steps)


def product_flops(_: object, a: list[int], b: list[int], **kwargs: object) -> int:
    """Operations of `x.baddbmm_(a, b)`, which torch's counter knows only in its other form."""
    return 2 * prod(a) * b[-1]


@pytest.mark.parametrize(
    ("training", "second_order"),
    [*product(("anml", "oml"), (True, False)), ("pretrain", True)],  # which has no inner loop
)
@pytest.mark.parametrize("by_points", [True, False], ids=["by points", "one by one"])
def test_meta_iterations_do_the_counted_products_and_little_else(
    training, second_order, by_points, monkeypatch
):
    if not by_points:
        monkeypatch.setattr(winograd, "worth", lambda channels, side: False)
    torch.manual_seed(0)
    drawn = episode(SMALL)
    parameters = replicas([build_model("anml" if training == "anml" else "oml", SMALL)])
    in_place = {torch.ops.aten.baddbmm_: product_flops}
    with FlopCounterMode(display=False, custom_mapping=in_place) as counter:
        if training == "pretrain":
            for tensor in parameters.values():
                tensor.requires_grad_()
            supervised_gradient(parameters, drawn.images, drawn.classes)
        else:
            gradient = anml_meta_gradient if training == "anml" else oml_meta_gradient
            gradient(parameters, drawn, 0.1, second_order)
    counted = 2 * arithmetic.multiply_adds(training, SMALL, 1, second_order, by_points)
    # Less would mean that the floor is none; above are rank-one products and the first layer,
    # which may be computed another way (`anml.gradients.first_block`).
    assert 0.995 * counted <= counter.get_total_flops() <= 1.03 * counted


def test_second_order_costs_more_and_replicas_multiply():
    for training in ("anml", "oml"):
        full = arithmetic.multiply_adds(training, PAPER)
        assert full > arithmetic.multiply_adds(training, PAPER, second_order=False)
        assert arithmetic.multiply_adds(training, PAPER, replicas=4) == 4 * full


def test_wide_outer_passes_take_fewer_and_narrow_ones_are_taken_one_by_one():
    for training, most in {"anml": 0.85, "oml": 0.5, "pretrain": 0.5}.items():
        one_by_one = arithmetic.multiply_adds(training, PAPER, by_points=False)
        assert 0.3 < arithmetic.multiply_adds(training, PAPER) / one_by_one < most
        narrow = PROFILES["laptop"]
        assert arithmetic.multiply_adds(training, narrow) == arithmetic.multiply_adds(
            training, narrow, by_points=False
        )


def test_the_floor_counts_two_operations_a_multiply_add():
    assert arithmetic.floor_seconds(50e9, 200) == pytest.approx(0.5)
