"""What float32 means on a GPU."""

import torch


def choose_float32(tf32: bool) -> None:
    """Say for all CUDA products and convolutions of this process what float32 means.

    False: IEEE float32. True: TF32, which keeps 10 of the 23 bits of the mantissa and is faster;
    PyTorch's own default is a mixture of the two.
    """
    precision = "tf32" if tf32 else "ieee"
    torch.backends.cuda.matmul.fp32_precision = precision
    torch.backends.cudnn.conv.fp32_precision = precision
