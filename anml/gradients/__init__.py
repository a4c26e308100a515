"""Exact meta-gradients, behind `anml.adapt`: the steps of the inner loop and their derivatives."""
