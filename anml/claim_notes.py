"""What is known of why a row of the ledger comes out otherwise than published, by the row's id.

Shown only beside rows that are not reproduced. That a run is smaller than the paper's is said by
the ledger itself; here stands what would remain at any scale.
"""

_OML_RATES = (
    "OML's learning rates under this protocol are published nowhere; here a small grid was "
    "searched, and the best kept."
)
_PRETRAIN_RATES = (
    "The optimiser and learning rate of pretraining are published nowhere; here a small grid was "
    "searched, and the best kept."
)
_SECOND_ORDER = (
    "The released code leaves out the graph of the inner loop, so that the published models were "
    "meta-trained to first order; here, as the paper writes, to second order."
)
_RATE_FALLS = (
    "Where convolutions learn, the best meta-test rate falls with the number of classes; a profile "
    "that searches it at few of them may learn the longest sequences at too large a rate."
)

WHY: dict[str, str] = {
    "anml_600": _SECOND_ORDER,
    "oml_600": f"{_OML_RATES} {_SECOND_ORDER}",
    "olft_600": f"{_OML_RATES} {_SECOND_ORDER}",
    "oml_drop_600": _OML_RATES,
    "olft_drop_600": _OML_RATES,
    "olft_overtakes": _OML_RATES,
    "above_chance_oml": _OML_RATES,
    "anml_ft_pln": _RATE_FALLS,
    "anml_ft_pln_nm": _RATE_FALLS,
    "pretrain_20ep": _PRETRAIN_RATES,
    "pretrain_drop_600": _PRETRAIN_RATES,
    "pretrain_train_400up": _PRETRAIN_RATES,
}
