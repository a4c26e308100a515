"""What tests of lengths of meta-training share: a job's files, and what it reports."""

import json
from pathlib import Path

from anml.profiles import PROFILES
from anml.running.jobs import Place
from anml.running.lengths import LengthJob
from anml.store.checkpoint import load_checkpoint, save_checkpoint


def unheard(steps: int) -> None:
    """Nobody listens."""


def working(place: Place, job: LengthJob) -> Path:
    return job.training.working(job.own(place))


def as_steps(iterations: int) -> int:
    """Meta-iterations as a length counts them: each for many drawings."""
    longer, shorter = (LengthJob(0, 4 + n, 4).steps(PROFILES["smoke"]) for n in (iterations, 0))
    return longer - shorter


def iterations(heard: list[int]) -> int:
    """How many of a length's reports are of a meta-iteration."""
    return heard.count(as_steps(1))


def change_header(path: Path, **changes: object) -> None:
    """As if a checkpoint said something else of itself."""
    tensors, header = load_checkpoint(path)
    save_checkpoint(path, tensors, header | changes)


def change_part(path: Path, **changes: object) -> None:
    """As if a part said something else of itself."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
