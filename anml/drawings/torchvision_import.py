"""Import torchvision beside a torch that it was not built for."""

import importlib
import sys
from types import ModuleType

import torch

from anml.errors import AnmlError

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
# A library's definitions vanish with the object, so it is kept for as long as the process runs.
_library: torch.library.Library | None = None


def import_torchvision_datasets() -> ModuleType:
    """Import `torchvision.datasets`, also where torch is CPU-only and torchvision built for CUDA.

    Such a torchvision cannot load its compiled operators, and its import fails when it registers
    shape rules for two of them. Declaring these two (`nms` and `qnms`, never called here) is all
    that the import needs. This is done only after that very failure: beside a matching build the
    declarations would collide with the real operators.

    Raises:
        AnmlError: torchvision is not installed, or fails to import for another reason.
    """
    global _library
    try:
        return importlib.import_module("torchvision.datasets")
    except ImportError as error:
        raise AnmlError(f"torchvision cannot be imported ({error}): install it again") from error
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise AnmlError(f"torchvision fails to import ({error}): install it again") from error
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    if _library is None:
        _library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            _library.define(operator + _SCHEMA)
    return importlib.import_module("torchvision.datasets")
