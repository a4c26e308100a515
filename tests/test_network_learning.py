"""Meta-test training where convolutions learn too: what of the network is computed once.

That it equals a plain loop is in `test_meta_test`.
"""

from __future__ import annotations

import pytest
import torch

from anml.meta_testing.frozen_features import cut_network
from anml.meta_testing.network_learning import Learners, frozen_inputs, split_network
from anml.meta_train import build_model
from anml.profiles import Profile
from anml.treatments import TRAININGS, TREATMENTS

FROZEN = {
    "Scratch": [(28 * 28,)],
    "ANML-FT:PLN": [(28 * 28,), (27,)],
    "ANML-FT:PLN+NM out": [(28 * 28,), (18,)],
    "ANML-Unlimited": [(28 * 28,)],
    "OML-FT:PLN+RLN final": [(3 * 8 * 8,)],
    "OML-Unlimited": [(28 * 28,)],
}
"""What is computed once for each drawing: pixels, gates, NM's features, the last convolution's."""


@pytest.mark.parametrize("name", FROZEN)
def test_what_is_frozen_is_computed_once(name: str, tiny: Profile) -> None:
    treatment = TREATMENTS[name]
    torch.manual_seed(1)
    model = build_model(TRAININGS[treatment.training].network, tiny).double()
    assert cut_network(treatment, model) is None
    split = split_network(model, treatment.plastic)
    images = torch.rand(4, 1, 28, 28, dtype=torch.float64)
    inputs = frozen_inputs(split, images.split(3))
    assert [(x[0].numel(),) for x in inputs] == FROZEN[name]
    learners = Learners(model, split, treatment.plastic, [1e-3] * 2, torch.optim.SGD)
    with torch.no_grad():
        torch.testing.assert_close(learners.logits(1, inputs), model(images))


def test_every_treatment_whose_convolutions_learn_is_looked_at() -> None:
    assert set(FROZEN) == {t.name for t in TREATMENTS.values() if t.learns_convolutions}
