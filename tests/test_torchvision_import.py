"""Torchvision beside another torch: its data sets can be imported all the same."""

import subprocess
import sys
from collections.abc import Callable

import pytest
from refusal import refusal

from anml.drawings import torchvision_import


def test_torchvisions_data_sets_can_be_imported_in_a_new_process() -> None:
    code = (
        "from anml.drawings.torchvision_import import import_torchvision_datasets as f\n"
        "assert f().Omniglot is f().Omniglot\n"
        "import torchvision; from torchvision import transforms, utils"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def fail_once_with(error: Exception) -> Callable[[str], str]:
    errors = [error]

    def fake_import(name: str) -> str:
        if errors:
            raise errors.pop()
        return f"module {name}"

    return fake_import


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The operators that were declared; nothing is declared for real, no module dropped."""
    schemas: list[str] = []

    class Library:
        def __init__(self, *_: str) -> None:
            pass

        def define(self, schema: str) -> None:
            schemas.append(schema.split("(")[0])

    monkeypatch.setattr(torchvision_import, "_library", None)
    monkeypatch.setattr(torchvision_import.torch.library, "Library", Library)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return schemas


def test_operators_are_declared_after_that_failure_alone(
    monkeypatch: pytest.MonkeyPatch, declared: list[str]
) -> None:
    trap = RuntimeError("operator torchvision::nms does not exist")
    monkeypatch.setattr(torchvision_import.importlib, "import_module", fail_once_with(trap))
    imported = torchvision_import.import_torchvision_datasets()
    assert imported == "module torchvision.datasets"
    assert declared == ["nms", "qnms"]


@pytest.mark.parametrize(
    "error", [ModuleNotFoundError("No module named 'torchvision'"), RuntimeError("out of tune")]
)
def test_other_failures_are_one_line_and_declare_nothing(
    monkeypatch: pytest.MonkeyPatch, declared: list[str], error: Exception
) -> None:
    monkeypatch.setattr(torchvision_import.importlib, "import_module", fail_once_with(error))
    assert str(error) in refusal(torchvision_import.import_torchvision_datasets)
    assert declared == []


def test_a_matching_build_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, declared: list[str]
) -> None:
    monkeypatch.setattr(torchvision_import.importlib, "import_module", lambda name: name)
    assert torchvision_import.import_torchvision_datasets() == "torchvision.datasets"
    assert declared == []
