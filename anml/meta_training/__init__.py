"""Meta-training, behind `anml.meta_train`: episodes, the outer step, going on, a GPU's graphs."""
