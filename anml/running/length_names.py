"""What is measured at each length of meta-training, and where its models lie.

Names that runs and pages share; pages need not wait for torch.
"""

from collections.abc import Iterable
from pathlib import Path

from anml.meta_testing.regimes import ORACLE, SEQUENTIAL
from anml.store.checkpoint import WORKING
from anml.treatments import TRAININGS, TREATMENTS, VARIANTS, find_training, find_treatment

TREATMENT = "ANML"
META_TRAINING = find_treatment(TREATMENT).training
MEASURED = {
    training.name: tuple(
        row.name
        for row in (TREATMENTS | VARIANTS).values()
        if row.training == training.name and not row.learns_convolutions
    )
    for training in TRAININGS.values()
    if training.procedure != "none"
}
"""What trains models whose lengths can be measured, with the treatments that take their models and
learn linear layers alone: where convolutions learn too, one measurement takes hours.
"""
UNITS = {"meta": "meta-iterations", "supervised": "batches"}
"""What a length counts, by the procedure of the training."""
LENGTH_REGIMES = (SEQUENTIAL.name, ORACLE.name)
"""In which orders of its drawings a meta-test is measured at each length."""
LENGTHS = "lengths"
"""In a run's folder: a folder for each length."""


def units(treatments: Iterable[str]) -> str:
    """What lengths of the trainings of `treatments` count: 'meta-iterations or batches'."""
    trainings = (find_training(find_treatment(name).training) for name in treatments)
    return " or ".join(dict.fromkeys(UNITS[training.procedure] for training in trainings))


def recorded_models(folder: Path) -> list[Path]:
    """The finished models in a folder of recorded results, or in that of a run."""
    folders = [folder, *(folder / LENGTHS).glob("*")]
    files = (path for one in folders for path in (one / "checkpoints").glob("*.safetensors"))
    return sorted(path for path in files if not path.name.endswith(WORKING))
