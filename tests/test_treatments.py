"""The table of treatments: spec section 5, and its agreement with the published numbers."""

from dataclasses import replace

import pytest
import torch

from anml.errors import AnmlError
from anml.findings.claims import published
from anml.meta_train import build_model
from anml.profiles import find_profile
from anml.treatments import (
    IN_ORDER,
    TRAININGS,
    TREATMENTS,
    VARIANTS,
    MetaTraining,
    Treatment,
    find_training,
    find_treatment,
)

RELEASED_PIXELS = ("OML (released pixels)", "OML-OLFT (released pixels)")
WHITE_PAPER = ("OML (white paper)", "OML-OLFT (white paper)")
ALL = [*TREATMENTS.values(), *VARIANTS.values()]


def test_the_ten_treatments_of_the_paper() -> None:
    rows = {t.name: (t.training, t.plastic) for t in TREATMENTS.values()}
    linear, everything = ("hidden.", "head."), ("",)
    assert rows == {
        "ANML": ("anml", ("head.",)),
        "OML": ("oml", linear),
        "OML-OLFT": ("oml", ("head.",)),
        "Pretrain & Transfer": ("pretrain", linear),
        "Scratch": ("scratch", everything),
        "ANML-FT:PLN": ("anml", ("pln.", "head.")),
        "ANML-FT:PLN+NM out": ("anml", ("pln.", "head.", "nm.gate.")),
        "ANML-Unlimited": ("anml", everything),
        "OML-FT:PLN+RLN final": ("oml", ("rln.5.", *linear)),
        "OML-Unlimited": ("oml", everything),
    }


def test_every_published_treatment_is_there() -> None:
    assert set(published()["treatment"]) <= set(TREATMENTS)


def test_every_treatment_has_a_mark_in_the_order_of_the_legends() -> None:
    from anml.figures.plot_style import TREATMENTS as MARKS

    missing, extra = (
        [n for n in a if n not in b] for a, b in ((IN_ORDER, MARKS), (MARKS, IN_ORDER))
    )
    assert not missing, f"add a Mark for {missing} to TREATMENTS in anml/figures/plot_style.py"
    assert not extra, f"no treatment is called {extra}: take it out of anml/figures/plot_style.py"
    assert tuple(MARKS) == IN_ORDER, "anml/figures/plot_style.py has them in another order"


def test_the_variants_differ_from_the_paper_in_one_thing_or_as_the_code_does() -> None:
    plain = MetaTraining("", "anml", "meta"), MetaTraining("", "oml", "meta")
    anml, oml = plain
    changed = {
        name: replace(TRAININGS[variant.training], name="") for name, variant in VARIANTS.items()
    }
    assert changed == {
        "ANML (first order)": replace(anml, second_order=False),
        "OML (first order)": replace(oml, second_order=False),
        "OML (linear PLN)": replace(oml, network="oml-linear"),
        "ANML (batch norm)": replace(anml, norm="batch"),
        "ANML (redraw kept)": replace(anml, redraw="meta"),
        "ANML (three channels)": replace(anml, channels=3),
        "ANML (as released)": replace(anml, second_order=False, redraw="meta", channels=3),
        "OML (as released)": replace(oml, second_order=False, redraw="meta", channels=3),
        **dict.fromkeys(RELEASED_PIXELS, replace(oml, pixels="as released")),
        **dict.fromkeys(WHITE_PAPER, replace(oml, pixels="white paper")),
    }
    assert not set(VARIANTS) & set(TREATMENTS)


def test_where_convolutions_learn() -> None:
    learn = {t.name for t in ALL if t.learns_convolutions}
    assert learn == {
        *("Scratch", "ANML-FT:PLN", "ANML-FT:PLN+NM out", "ANML-Unlimited"),
        *("OML-FT:PLN+RLN final", "OML-Unlimited"),
    }


def test_every_control_has_omls_architecture() -> None:
    networks = {t.name: TRAININGS[t.training].network for t in TREATMENTS.values()}
    assert all(network == ("anml" if "ANML" in t else "oml") for t, network in networks.items())


@pytest.mark.parametrize("treatment", ALL, ids=lambda t: t.name)
def test_plastic_prefixes_name_parameters(treatment: Treatment) -> None:
    with torch.device("meta"):
        model = build_model(TRAININGS[treatment.training].network, find_profile("paper"))
    names = [name for name, _ in model.named_parameters()]
    for prefix in treatment.plastic:
        assert any(name.startswith(prefix) for name in names)


def test_the_plastic_convolution_of_oml_is_its_last() -> None:
    with torch.device("meta"):
        model = build_model("oml", find_profile("paper"))
    prefix = TREATMENTS["OML-FT:PLN+RLN final"].plastic[0]
    assert prefix == f"rln.{len(model.rln) - 1}."


def test_second_order_is_the_default_and_first_order_an_option() -> None:
    assert TRAININGS["anml"].second_order
    assert TRAININGS["oml"].second_order
    assert not TRAININGS["anml-first-order"].second_order
    assert not TRAININGS["oml-first-order"].second_order


@pytest.mark.parametrize("find", [find_training, find_treatment])
def test_an_unknown_name_lists_the_known_ones(find) -> None:
    known = TRAININGS if find is find_training else TREATMENTS | VARIANTS
    with pytest.raises(AnmlError) as caught:
        find("nonsense")
    assert "nonsense" in str(caught.value)
    assert all(name in str(caught.value) for name in known)
    assert [find(name) for name in known] == list(known.values())
