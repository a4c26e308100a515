"""The table of treatments: spec section 5, and its agreement with the published numbers."""

import pytest
import torch

from anml.errors import AnmlError
from anml.meta_train import build_model
from anml.profiles import find_profile
from anml.treatments import TRAININGS, TREATMENTS, find_training, find_treatment


def test_the_five_treatments_of_figure_3() -> None:
    rows = {t.name: (t.training, t.plastic) for t in TREATMENTS.values()}
    linear = ("hidden.", "head.")
    assert rows == {
        "ANML": ("anml", ("head.",)),
        "OML": ("oml", linear),
        "OML-OLFT": ("oml", ("head.",)),
        "Pretrain & Transfer": ("pretrain", linear),
        "Scratch": ("scratch", ("",)),
    }


def test_every_control_has_omls_architecture() -> None:
    networks = {t.name: TRAININGS[t.training].network for t in TREATMENTS.values()}
    assert networks.pop("ANML") == "anml"
    assert set(networks.values()) == {"oml"}


@pytest.mark.parametrize("treatment", TREATMENTS.values(), ids=TREATMENTS)
def test_plastic_prefixes_name_parameters(treatment) -> None:
    with torch.device("meta"):
        model = build_model(TRAININGS[treatment.training].network, find_profile("paper"))
    names = [name for name, _ in model.named_parameters()]
    for prefix in treatment.plastic:
        assert any(name.startswith(prefix) for name in names)


def test_second_order_is_the_default_and_first_order_an_option() -> None:
    assert TRAININGS["anml"].second_order
    assert TRAININGS["oml"].second_order
    assert not TRAININGS["anml-first-order"].second_order
    assert not TRAININGS["oml-first-order"].second_order


@pytest.mark.parametrize("find", [find_training, find_treatment])
def test_an_unknown_name_lists_the_known_ones(find) -> None:
    known = TRAININGS if find is find_training else TREATMENTS
    with pytest.raises(AnmlError) as caught:
        find("nonsense")
    assert "nonsense" in str(caught.value)
    assert all(name in str(caught.value) for name in known)
    assert [find(name) for name in known] == list(known.values())
