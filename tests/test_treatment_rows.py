"""Rows of the comparison that nothing here could compute: refused as they are made, in one line."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import pytest
import torch
from refusal import refusal

from anml import treatments
from anml.adapt import NORMS
from anml.drawings.pixels import INK, PIXELS
from anml.meta_training import outer_step, training_job
from anml.meta_training.training_job import build_model
from anml.profiles import find_profile
from anml.treatments import (
    EVERYTHING,
    HEAD,
    NETWORKS,
    OML_LINEAR,
    OPTIONS,
    PROCEDURES,
    TRAININGS,
    TREATMENTS,
    MetaTraining,
    Treatment,
    treatment_of,
)

TRAINING_OF = {"anml": "anml", "oml": "oml", "oml-linear": "oml-linear"}
"""A meta-training of each network."""


@pytest.mark.parametrize(
    ("changes", "field", "allowed"),
    [
        ({"network": "anml3"}, "network", list(NETWORKS)),
        ({"procedure": "mata"}, "procedure", ["meta", "supervised", "none"]),
        ({"network": "anml", "procedure": "supervised"}, "procedure", ["meta", "none"]),
        ({"network": "oml-linear", "procedure": "supervised"}, "procedure", ["meta", "none"]),
        ({"redraw": "kept"}, "redraw", ["copy", "meta"]),
        ({"second_order": "no"}, "second_order", [True, False]),
        ({"network": "anml", "norm": "batches"}, "norm", ["image", "batch"]),
        ({"norm": "batch"}, "norm", ["image"]),
        ({"network": "oml-linear", "norm": "batch"}, "norm", ["image"]),
        ({"pixels": "grey"}, "pixels", ["ink", "as released", "white paper"]),
        ({"network": "anml", "pixels": "white paper"}, "pixels", ["ink"]),
        ({"channels": 2}, "channels", [1, 3]),
        ({"procedure": "none", "channels": 3}, "channels", [1]),
        ({"procedure": "none", "pixels": "white paper"}, "pixels", ["ink"]),
        ({"procedure": "supervised", "redraw": "meta"}, "redraw", ["copy"]),
        ({"procedure": "supervised", "second_order": False}, "second_order", [True]),
    ],
)
def test_a_meta_training_that_nothing_computes_is_refused(
    changes: dict[str, str], field: str, allowed: list[str]
) -> None:
    message = refusal(lambda: MetaTraining(**{"name": "x", "network": "oml"} | with_meta(changes)))
    value = changes[field]
    listed = ", ".join(map(repr, allowed))
    assert message.startswith("meta-training 'x'")
    assert message.endswith(f": {field} is {value!r}: choose one of {listed}")


def with_meta(changes: dict[str, str]) -> dict[str, str]:
    return {"procedure": "meta"} | changes


def test_every_option_that_a_network_has_is_taken() -> None:
    """What is refused is no more than what is said."""
    made = [
        MetaTraining("x", name, procedure, **{option: value})
        for name, network in NETWORKS.items()
        for procedure in network.procedures
        for option, values in (OPTIONS | network.options | PROCEDURES[procedure]).items()
        for value in values
    ]
    assert len(set(made)) > len(OPTIONS)


def test_names_are_those_of_the_code() -> None:
    """`treatments` imports no torch, so that it has the names twice."""
    assert NETWORKS.keys() == training_job.NETWORKS.keys() == outer_step.GRADIENTS.keys()
    assert set(OPTIONS["norm"]) == set(NORMS)
    assert set(OPTIONS["pixels"]) == set(PIXELS)
    assert OPTIONS["pixels"][0] == INK
    defaults = {field.name: field.default for field in fields(MetaTraining)}
    assert {name: values[0] for name, values in OPTIONS.items()} == {
        name: defaults[name] for name in OPTIONS
    }


@pytest.mark.parametrize(
    ("network", "plastic"),
    [
        ("oml", ("hidden.",)),
        ("oml", ("rln.0.", "head.")),
        ("oml", ("rln.0.",)),
        ("oml", ("rln.6.", *OML_LINEAR)),
        ("oml", ("head", "hidden")),
        ("oml", ("pln.", "head.")),
        ("oml", "head."),
        ("oml", ()),
        ("anml", ("nm.tower.", "head.")),
        ("anml", ("pln.", "nm.tower.", "head.")),
        ("anml", ("nm.gate.",)),
        ("anml", ("pln.",)),
        ("anml", ("head",)),
        ("anml", ("hidden.", "head.")),
        ("oml-linear", OML_LINEAR),
        ("oml-linear", ("rln.5.", "head.")),
        ("oml-linear", EVERYTHING),
    ],
)
def test_layers_that_cannot_learn_together_are_refused(
    network: str, plastic: tuple[str, ...]
) -> None:
    message = refusal(lambda: Treatment("x", TRAINING_OF[network], plastic))
    assert message.startswith(f"treatment 'x': plastic is {plastic!r}: choose")
    named = {part for way in NETWORKS[network].plastic for part in (*way.always, *way.besides)}
    assert all(repr(part) in message for part in named)


@pytest.mark.parametrize(
    ("training", "written"),
    [
        ("oml", ("head.", "hidden.")),
        ("oml", ["head.", "hidden.", "head."]),
        ("oml", {"hidden.", "head.", "rln.5."}),
        ("anml", ("head.", "nm.gate.", "pln.")),
        ("anml", ("head.", "head.")),
    ],
)
def test_the_order_of_layers_does_not_matter(training: str, written: tuple[str, ...]) -> None:
    """A row is the same in whatever order: its learning path, and the state of a finished job."""
    row = Treatment("x", training, written)
    same = [t.plastic for t in TREATMENTS.values() if set(t.plastic) == set(written)]
    assert same
    assert all(row.plastic == plastic for plastic in same)
    assert row.learns_convolutions == (not set(written) <= set(OML_LINEAR))


@pytest.mark.parametrize("network", NETWORKS)
def test_what_learns_a_first_convolution_has_one_channel(
    network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TRAININGS, "three", MetaTraining("three", network, "meta", channels=3))
    with torch.device("meta"):
        model = build_model(network, find_profile("paper"))
    convolutions = [(n, p) for n, p in model.named_parameters() if p.dim() == 4]
    assert [n for n, p in convolutions if p.shape[1] == 1] == sorted(NETWORKS[network].first)
    assert Treatment("x", "three", HEAD).plastic == HEAD
    if EVERYTHING in [way.always for way in NETWORKS[network].plastic]:
        message = refusal(lambda: Treatment("x", "three", EVERYTHING))
        assert message.startswith("treatment 'x': plastic is ('',), which has the first")
    if network == "oml":
        assert Treatment("x", "three", ["rln.5.", *OML_LINEAR]).learns_convolutions


@pytest.mark.parametrize("network", NETWORKS)
def test_layers_that_can_learn_are_layers_of_the_network(network: str) -> None:
    with torch.device("meta"):
        model = build_model(network, find_profile("paper"))
    names = [name for name, _ in model.named_parameters()]
    for way in NETWORKS[network].plastic:
        prefixes = (*way.always, *way.besides)
        assert all(any(name.startswith(one) for name in names) for one in prefixes)
    assert Treatment("x", TRAINING_OF[network], HEAD).plastic == HEAD


def test_a_treatment_of_no_meta_training_is_refused() -> None:
    message = refusal(lambda: Treatment("x", "omll", HEAD))
    assert message.startswith("treatment 'x': training is 'omll': choose one of")
    assert all(repr(name) in message for name in TRAININGS)


def test_a_meta_training_without_a_treatment_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside of `map`, too, where StopIteration would only end it too soon."""
    monkeypatch.setitem(TRAININGS, "alone", MetaTraining("alone", "oml", "meta"))
    message = refusal(lambda: list(map(treatment_of, ["anml", "alone", "oml"])))
    assert "'alone'" in message
    assert "TREATMENTS" in message
    assert "'nonsense'" in refusal(lambda: treatment_of("nonsense"))
    assert [treatment_of(name) for name in ("anml", "scratch")] == ["ANML", "Scratch"]


def test_the_table_needs_neither_torch_nor_pandas() -> None:
    code = (
        f"import sys, {treatments.__name__}\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'pandas')))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 0
