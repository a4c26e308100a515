"""What is known of why a row of the ledger comes out otherwise than published, by the row's id.

Shown only beside rows that are not reproduced. That a run is smaller than the paper's is said by
the ledger itself; here stands what would remain at any scale.
"""

_OML_RATES = (
    "OML's learning rates under this protocol are published nowhere; here a grid was searched "
    "(the page on the baselines' rates shows it, whether its best lies at an edge, and what a "
    "larger outer rate than the one in use gives)."
)
_PRETRAIN_RATES = (
    "The optimiser and learning rate of pretraining are published nowhere; here a grid was "
    "searched (the page on the baselines' rates shows it, whether its best lies at an edge, and "
    "what a larger rate than the one in use gives)."
)
_SECOND_ORDER = (
    "The released code meta-trains to first order, and perhaps the published models were trained "
    "so; here it is second order, as the paper writes. That can be a cause only if first order "
    "keeps more: the page about paper and code measures it, in narrow networks and, after a "
    "part of the paper's meta-training, at the paper's width."
)
_PIXELS = (
    "The released code shows OML's networks, which have no norm, pixels on a much smaller scale "
    "than here. That can be a cause only if that scale keeps more: the page about paper and code "
    "measures it in narrow networks."
)
_REDRAWN_ROW = (
    "The released code and both replications meta-train with rows of the head that are drawn anew "
    "for good; here, as the paper writes, only in the inner loop's copy: what that changes is "
    "measured on the pages about paper and code and about how much meta-training."
)
_TIES = (
    "At K = 5 among 659 classes, two classes often tie. The paper does not say which then wins; "
    "here it is the one with the nearest neighbour."
)
_DISTANCES = (
    "The paper's distance is Euclidean: it counts how strongly a unit answers, not only whether it "
    "does. What the gate adds by other distances is measured on the page of Figure 6."
)
_RATE_FALLS = (
    "Where convolutions learn, the best meta-test rate falls as the number of classes grows. A "
    "smaller one may keep more only where the best is the smallest tried: the page of Figure S8 "
    "says whether it is."
)
_SMALL_RATE = (
    "At which meta-test rates Scratch was run is published nowhere. A very small one learns little "
    "and forgets little; the page of Figure 3 says where the best found is the smallest tried."
)
_ONE_EPOCH_RATE = (
    "The meta-test rate is the best for one epoch here; the released code's search has all 20."
)
_TRAINING_RATE = (
    "The meta-test rate is the best for held-out drawings here; in the released code a rate for "
    "training drawings is searched by itself."
)
_FEW_DRAWINGS = (
    "With more models and trajectories, a class counts as above chance at a smaller share of its "
    "drawings. So shares of different numbers of them are not alike; the page of Figure S9 says "
    "how many stand behind this one."
)
_REDRAWN_UNITS = (
    "What it becomes where the head's redrawn rows are kept, as in the released code, is measured "
    "on the page of Figure 5."
)
_OPEN_GATE = (
    "More units stay active after the gate here than in the paper. How far longer meta-training "
    "and wider networks close it is measured on the page about how much meta-training."
)

WHY: dict[str, str] = {
    "anml_600": f"{_REDRAWN_ROW} {_SECOND_ORDER}",
    "anml_oracle_600": _REDRAWN_ROW,
    "oml_600": f"{_OML_RATES} {_SECOND_ORDER} {_PIXELS}",
    "olft_600": f"{_OML_RATES} {_SECOND_ORDER} {_PIXELS}",
    "oml_drop_600": _OML_RATES,
    "olft_drop_600": _OML_RATES,
    "olft_overtakes": _OML_RATES,
    "above_chance_anml": _FEW_DRAWINGS,
    "above_chance_oml": f"{_FEW_DRAWINGS} {_OML_RATES}",
    "scratch_train_50up": f"{_SMALL_RATE} {_TRAINING_RATE}",
    "anml_ft_pln": _RATE_FALLS,
    "anml_ft_pln_nm": _RATE_FALLS,
    "anml_20ep": f"{_ONE_EPOCH_RATE} {_REDRAWN_ROW}",
    "scratch_20ep": _ONE_EPOCH_RATE,
    "pretrain_20ep": f"{_ONE_EPOCH_RATE} {_PRETRAIN_RATES}",
    "scratch_20ep_training": f"{_ONE_EPOCH_RATE} {_TRAINING_RATE}",
    "pretrain_20ep_training": f"{_ONE_EPOCH_RATE} {_TRAINING_RATE}",
    "pretrain_drop_600": _PRETRAIN_RATES,
    "pretrain_train_400up": f"{_PRETRAIN_RATES} {_TRAINING_RATE}",
    "anml_best": (
        "At the fewest classes there is little to forget, so that a lead there says more of "
        "learning than of forgetting. What keeping the head's redrawn rows gives ANML there the "
        "page of Figure 3 shows, and what larger meta-test rates give the page about how much "
        "meta-training."
    ),
    "order_matters_little": (
        "One learning rate serves all classes: with a smaller one the last are never learned, with "
        "a larger one the first are lost. The page on why the order matters takes it apart."
    ),
    "epochs_do_not_catch_up": (
        "Many passes over the same drawings need no memory, so that this compares how much either "
        "network can fit. The rows of ANML's one pass and of Pretrain & Transfer's twenty say how "
        "far each lies from the published value, and in which direction. "
    )
    + _ONE_EPOCH_RATE,
    "epochs_memorise": _ONE_EPOCH_RATE,
    "active_before": _REDRAWN_UNITS,
    "active_nm": _REDRAWN_UNITS,
    "active_after": f"{_OPEN_GATE} {_REDRAWN_ROW}",
    "gating_sparsifies": _OPEN_GATE,
    "knn_nm": f"{_REDRAWN_ROW} {_TIES}",
    "knn_nm_random": _TIES,
    "knn_after": f"{_REDRAWN_ROW} {_DISTANCES} {_TIES}",
}
