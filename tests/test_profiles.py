"""Profiles: the paper's numbers, overrides, and one line for every value that is not allowed."""

import json
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anml.errors import AnmlError
from anml.profiles import LEARNING_RATE_GRID, MAX_TRAJECTORIES, PROFILES, Profile, find_profile
from anml.running.jobs import SEEDS_A_MODEL, trajectory_seeds

NUMBERS = (10, 50, 75, 100, 150, 200, 300, 400, 500, 600)


def test_the_papers_profile_is_the_papers() -> None:
    """Spec, sections 2 to 4; OML's and pretraining's rates are published nowhere."""
    paper = asdict(PROFILES["paper"])
    stated = {
        "pln_channels": 256,
        "nm_channels": 112,
        "oml_channels": 256,
        "oml_hidden": 1024,
        "outputs": 1000,
        "meta_iterations": 20_000,
        "pretrain_iterations": 20_000,
        "inner_steps": 20,
        "remember": 64,
        "anml_inner_rate": 0.1,
        "anml_outer_rate": 1e-3,
        "model_seeds": 10,
        "trajectories": 10,
        "n_classes": NUMBERS,
        "learning_rates": LEARNING_RATE_GRID,
        "network_models": 10,
        "network_trajectories": 10,
        "network_n_classes": NUMBERS,
        "epochs_models": 10,
        "epochs_network_models": 10,
        "epochs_trajectories": 10,
        "epochs_n_classes": NUMBERS,
        "epochs_network_n_classes": NUMBERS,
        "variant_models": 10,
        "search_trajectories": 10,
        "network_search_trajectories": 10,
        "search_n_classes": NUMBERS,
        "network_search_n_classes": NUMBERS,
        "network_learning_rates": LEARNING_RATE_GRID,
        "drawings_split": "shuffled",
    }
    assert {name: paper[name] for name in stated} == stated
    assert "adam" in paper["optimizers"]
    assert len(LEARNING_RATE_GRID) == 14
    assert (max(LEARNING_RATE_GRID), min(LEARNING_RATE_GRID)) == (1e-3, 1e-5)


def test_there_are_four_profiles_from_small_to_large() -> None:
    assert list(PROFILES) == ["smoke", "quick", "laptop", "paper"]
    iterations = [p.meta_iterations for p in PROFILES.values()]
    assert iterations == sorted(iterations)
    assert all(name == p.name and p.summary for name, p in PROFILES.items())


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_costly_arms_are_measured_where_the_others_are(profile: Profile) -> None:
    """Figures compare arms at one N, so an arm's N are among those of the cheapest arms."""
    assert set(profile.network_n_classes) <= set(profile.n_classes)
    assert set(profile.epochs_n_classes) <= set(profile.network_n_classes)
    assert set(profile.epochs_network_n_classes) <= set(profile.epochs_n_classes)
    assert max(profile.network_n_classes) == max(profile.n_classes)
    for searched in (profile.search_n_classes, profile.network_search_n_classes):
        assert set(searched) <= set(profile.n_classes)
    assert set(profile.network_learning_rates) <= set(profile.learning_rates)
    models = (profile.network_models, profile.epochs_models, profile.epochs_network_models)
    assert max(models) <= profile.model_seeds


def test_a_run_may_take_some_of_the_models() -> None:
    profile = find_profile("laptop")
    assert profile.model_numbers() == [0, 1, 2, 3]
    assert profile.model_numbers(2) == [0, 1]
    some = find_profile("laptop", {"models": "1,2"})
    assert some.model_numbers() == [1, 2]
    assert some.model_numbers(2) == [1]
    assert some.model_numbers(1) == []
    with pytest.raises(AnmlError, match="has 4: allowed is 0 to 3, as model_seeds = 4"):
        find_profile("laptop", {"models": "1,4"})


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_values_are_json_and_settings_leave_out_the_prose(profile: Profile) -> None:
    values = profile.values()
    assert json.loads(json.dumps(values)) == values
    assert profile.settings() == {k: v for k, v in values.items() if k != "summary"}


def test_overrides_from_a_command_line_and_from_a_notebook() -> None:
    text = find_profile(
        "smoke",
        {
            "meta_iterations": "1_000",
            "anml_inner_rate": "5e-2",
            "n_classes": "10, 50,100",
            "optimizers": "adam,sgd",
            "drawings_split": " first ",
        },
    )
    typed = find_profile(
        "smoke",
        {
            "meta_iterations": 1000,
            "anml_inner_rate": 0.05,
            "n_classes": [10, 50, 100],
            "optimizers": ("adam", "sgd"),
            "drawings_split": "first",
        },
    )
    assert text == typed
    assert text.n_classes == (10, 50, 100)
    assert isinstance(text.meta_iterations, int)
    assert find_profile("smoke", {"n_classes": 7}).n_classes == (7,)
    assert find_profile("smoke", {"learning_rates": "1"}).learning_rates == (1.0,)
    assert find_profile("smoke") == PROFILES["smoke"]


def test_no_two_models_share_the_seeds_of_their_trajectories() -> None:
    most = find_profile("smoke", {"trajectories": MAX_TRAJECTORIES}).trajectories
    first, second = (trajectory_seeds(model, most) for model in (0, 1))
    assert not set(first) & set(second)
    assert most == SEEDS_A_MODEL


BAD = [
    ({"meta_iterations": "0"}, "1 to 10,000,000"),
    ({"remember": 100_000}, "1 to 10,000"),
    ({"oml_hidden": 10_001}, "1 to 10,000"),
    ({"model_seeds": 10**20}, "1 to 10,000"),
    ({"n_classes": "[10,50]"}, "write 10,50"),
    ({"optimizers": " ('adam', \"sgd\")"}, "write adam,sgd"),
    ({"n_classes": "[]"}, "write values with commas between"),
    ({"meta_iteration": 5}, "(did you mean meta_iterations?): choose one of pln_channels, "),
    ({"NM_Channels": 5}, "(did you mean nm_channels?)"),
    ({"meta_iterations": "-5"}, "1 to"),
    ({"meta_iterations": "many"}, "whole number"),
    ({"meta_iterations": "2.5"}, "whole number"),
    ({"meta_iterations": ""}, "whole number"),
    ({"meta_iterations": None}, "whole number"),
    ({"meta_iterations": True}, "whole number"),
    ({"meta_iterations": float("inf")}, "whole number"),
    ({"meta_iterations": 10**400}, "1 to"),
    ({"anml_inner_rate": 10**400}, "finite number"),
    ({"anml_inner_rate": "nan"}, "finite number"),
    ({"anml_inner_rate": "inf"}, "finite number"),
    ({"anml_inner_rate": None}, "finite number"),
    ({"anml_inner_rate": [0.1]}, "finite number"),
    ({"anml_inner_rate": 0}, "1e-09 to 10"),
    ({"oml_outer_rate": -0.1}, "1e-09 to 10"),
    ({"learning_rates": "1e-3,,1e-4"}, "finite number"),
    ({"learning_rates": "1e-3,100"}, "1e-09 to 10"),
    ({"learning_rates": []}, "out of range"),
    ({"n_classes": "660"}, "2 to 659"),
    ({"search_n_classes": "1"}, "2 to 659"),
    ({"network_n_classes": "10,660"}, "2 to 659"),
    ({"epochs_n_classes": ()}, "out of range"),
    ({"network_search_n_classes": "0"}, "2 to 659"),
    ({"network_learning_rates": "0"}, "1e-09 to 10"),
    ({"epochs_models": 0}, "1 to"),
    ({"trajectories": 1001}, "1 to 1,000"),
    ({"network_trajectories": 1001}, "1 to 1,000"),
    ({"epochs_trajectories": 1001}, "1 to 1,000"),
    ({"n_classes": "10;50"}, "whole number"),
    ({"n_classes": ()}, "out of range"),
    ({"inner_steps": 21}, "1 to 20"),
    ({"probed": ("anml", "anml-redraw-kept")}, "anml and anml-redraw-kept, which are one network"),
    ({"outputs": 962}, "963 to"),
    ({"optimizers": "adam,rmsprop"}, "adam, sgd"),
    ({"optimizers": []}, "adam, sgd"),
    ({"drawings_split": "last"}, "shuffled, first"),
    ({"nonsense": 1}, "meta_iterations"),
    ({"name": "mine"}, "meta_iterations"),
]


@pytest.mark.parametrize(("overrides", "allowed"), BAD, ids=lambda value: str(value)[:40])
def test_a_bad_value_is_one_line_that_says_what_is_allowed(
    overrides: dict[str, object], allowed: str
) -> None:
    with pytest.raises(AnmlError) as caught:
        find_profile("smoke", overrides)
    message = str(caught.value)
    assert "\n" not in message
    assert next(iter(overrides)) in message
    assert allowed in message


def test_an_unknown_profile_lists_the_known_ones() -> None:
    with pytest.raises(AnmlError, match="smoke, quick, laptop, paper"):
        find_profile("huge")


@settings(max_examples=200, deadline=None)
@given(
    key=st.sampled_from([k for k in asdict(PROFILES["paper"]) if k not in ("name", "summary")]),
    value=st.one_of(
        st.text(max_size=12), st.integers(), st.floats(), st.none(), st.lists(st.integers())
    ),
)
def test_any_override_either_holds_or_is_refused(key: str, value: object) -> None:
    try:
        profile = find_profile("smoke", {key: value})
    except AnmlError:
        return
    assert type(getattr(profile, key)) is type(getattr(PROFILES["smoke"], key))
