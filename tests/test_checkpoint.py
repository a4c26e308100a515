"""Checkpoints: what comes back, what is refused, and that none is ever half-written."""

import json
import os
import pickle
import resource
from pathlib import Path

import pytest
import torch
from refusal import refusal
from safetensors.torch import save_file

from anml.store.checkpoint import (
    load_checkpoint,
    parse_working_name,
    save_checkpoint,
    working_name,
)

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor([1.5], dtype=torch.float64)}
HEADER = {"iteration": 3, "profile": {"name": "tiny", "n_classes": [1, 2]}}


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "x.safetensors"
    save_checkpoint(path, TENSORS, HEADER)
    tensors, header = load_checkpoint(path)
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(tensors[name], tensor)
        assert tensors[name].dtype == tensor.dtype
    assert {key: header[key] for key in HEADER} == HEADER
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_views_and_tensors_with_gradients_are_saved_by_value(tmp_path: Path) -> None:
    whole = torch.arange(12.0).view(3, 4).requires_grad_()
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, {"row": whole[1], "turned": whole.mT}, {})
    tensors, _ = load_checkpoint(path)
    assert torch.equal(tensors["row"], whole.detach()[1])
    assert torch.equal(tensors["turned"], whole.detach().mT)


def test_a_missing_checkpoint_says_what_makes_it(tmp_path: Path) -> None:
    assert "no checkpoint" in refusal(lambda: load_checkpoint(tmp_path / "x.safetensors"))


@pytest.mark.parametrize("damage", ["cut", "empty", "noise", "pickle", "foreign"])
def test_a_damaged_or_foreign_file_is_one_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, TENSORS, HEADER)
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[:-7])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "noise":
        path.write_bytes(os.urandom(200))
    elif damage == "pickle":
        path.write_bytes(pickle.dumps({"a": 1}))
    else:
        save_file(TENSORS, path)
    message = refusal(lambda: load_checkpoint(path))
    assert str(path) in message
    assert "damaged" in message


def test_a_file_that_cannot_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be whole, and hold hours of work."""
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, TENSORS, HEADER)

    def refused(self: Path, *how: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    assert refusal(lambda: load_checkpoint(path)) == f"cannot read {path}: Permission denied"


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file(TENSORS, path, metadata={"anml": json.dumps({"format": 99})})
    assert "99" in refusal(lambda: load_checkpoint(path))


def test_no_pickle_is_ever_run(tmp_path: Path) -> None:
    """A torch file that would run code when it is loaded is refused, and nothing ran."""

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"a": Trap()}, tmp_path / "x.safetensors")
    refusal(lambda: load_checkpoint(tmp_path / "x.safetensors"))
    assert not (tmp_path / "ran").exists()


def test_a_full_disk_is_one_line_and_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    """The system refuses to let the file grow, as it does when there is no room."""
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, TENSORS, HEADER)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        message = refusal(lambda: save_checkpoint(path, {"a": torch.zeros(100_000)}, HEADER))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "cannot write" in message
    assert "--resume" in message
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_an_interruption_while_writing_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, TENSORS, HEADER)
    before = path.read_bytes()

    def half(tensors: object, temporary: Path, metadata: object) -> None:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("safetensors.torch.save_file", half)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, TENSORS, {"iteration": 4})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_names_of_working_checkpoints_say_their_seeds() -> None:
    assert parse_working_name(working_name("anml-as-released", (0, 12))) == (
        "anml-as-released",
        (0, 12),
    )
    assert parse_working_name("anml-seeds0-old.resume.safetensors") == ("anml", ())


def test_a_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    message = refusal(lambda: save_checkpoint(tmp_path / "file" / "x.safetensors", TENSORS, {}))
    assert "--out" in message
