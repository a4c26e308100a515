"""A profile at which a whole run takes seconds."""

TINY = {
    "pln_channels": 3,
    "nm_channels": 2,
    "oml_channels": 3,
    "oml_hidden": 5,
    "meta_iterations": 8,
    "pretrain_iterations": 8,
    "inner_steps": 3,
    "remember": 4,
    "rate_search_iterations": 0,
    "model_seeds": 1,
    "trajectories": 2,
    "n_classes": (2, 3),
    "network_n_classes": (2,),
    "epochs_n_classes": (2,),
    "epochs_network_n_classes": (2,),
    "search_trajectories": 1,
    "search_n_classes": (2,),
    "learning_rates": (1e-2, 1e-3),
    "length_iterations": (4, 12),
    "length_n_classes": (2,),
    "network_search_n_classes": (2,),
    "network_learning_rates": (1e-3,),
}
"""Overrides of the profile 'smoke' that make every step a matter of milliseconds."""
