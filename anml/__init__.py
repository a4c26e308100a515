"""ANML: models, exact meta-gradients, meta-training and meta-testing, on CPU and GPU.

The companion of *Learning to Continually Learn* (Beaulieu et al., ECAI 2020). The modules of this
folder are the paper's own words; each folder holds what they rest on, and says in its `__init__.py`
what that is.
"""

__version__ = "0.1.0"
