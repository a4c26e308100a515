"""Meta-testing, behind `anml.meta_test`: trajectories, orders, and learning one drawing a step."""
