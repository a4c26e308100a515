"""Meta-testing, behind `anml.meta_test`: trajectories, orders, one drawing a step, neighbours."""
