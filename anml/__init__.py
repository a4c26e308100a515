"""ANML: models, exact meta-gradients, meta-training and meta-testing, on CPU and GPU.

The companion of *Learning to Continually Learn* (Beaulieu et al., ECAI 2020).
"""

__version__ = "0.1.0"
