"""The page on speed: what it shows is what was measured, missing libraries and all."""

import cost
import memory_speed
import numpy as np
import pandas as pd
import pytest
from beside import BESIDE, PROFILE_NAMES, SETTINGS
from figure_parts import words
from ways import WAYS

from anml.errors import AnmlError
from anml.figures import plot_speed, speed_tables
from anml.figures.arithmetic import multiply_adds
from anml.figures.plot_speed import Speed, read_speed
from anml.profiles import PROFILES

SECONDS = {"adjoint": 0.5, "autograd": 1.0, "higher": 6.0, "torchopt": 1.5}


def costs() -> pd.DataFrame:
    """Made-up times with the benchmark's own cases; learn2learn is not installed."""
    rows = []
    for case in cost.CASES:
        row = dict.fromkeys(cost.COLUMNS) | {
            "profile": case.profile,
            "training": case.training,
            "way": case.way,
            "device": "CPU, 2 threads",
        }
        if case.way == "learn2learn":
            rows.append(row | {"note": "not installed"})
            continue
        seconds = SECONDS.get(case.way, 3.0)
        times = {"seconds": seconds, "fastest": 0.9 * seconds, "slowest": 1.2 * seconds}
        count = cost.counted(case, PROFILES[case.profile])
        own = {"peak_mb": 1000.0, "multiply_adds": count, "gflops": 200.0, "products": 0.75}
        rows.append(row | times | own)
    return pd.DataFrame(rows)


def sweeps() -> pd.DataFrame:
    rows = []
    for name, sweep in cost.SWEEPS.items():
        for x in sweep.values:
            profile, replicas = sweep.sized(x, quick=False)
            count = multiply_adds("anml", profile, replicas)
            seconds = 2e-11 * count
            rows.append(
                {
                    **{"sweep": name, "x": x, "profile": sweep.profile, "training": "anml"},
                    **{"seconds": seconds, "fastest": seconds, "slowest": 1.1 * seconds},
                    **{"multiply_adds": count, "gflops": 200.0},
                }
            )
    return pd.DataFrame(rows)


def beside() -> pd.DataFrame:
    """Made-up times: the first setting suffers most from company, the last not at all."""
    rows = []
    for profile in PROFILE_NAMES:
        for i, setting in enumerate(SETTINGS):
            own = {"profile": profile, "setting": setting.name, "device": "CPU, 2 threads"}
            own |= {"date": "2025-01-03", "commit": "0123456789ab"}
            for name, seconds in zip(BESIDE, (1.0 + i, 4.0), strict=True):
                rows.append(own | {"beside": name, "seconds": seconds})
    return pd.DataFrame(rows)


def memory() -> pd.DataFrame:
    """Made-up times: each setting is faster than the one before."""
    made = {"device": "CPU, 2 threads", "processor": "a processor", "huge_pages": "madvise"}
    made |= {"date": "2025-01-05", "commit": "0123456789ab"}
    times = {"seconds": (1.2, 1.1, 1.0), "fastest": (1.0, 0.9, 0.8), "slowest": (1.3, 1.2, 1.1)}
    own = pd.DataFrame({"setting": list(memory_speed.SETTINGS)} | times)
    own = own.assign(page_faults=(61398, 1, 0), **made)
    return pd.concat([own.assign(profile=name) for name in memory_speed.PROFILE_NAMES])


def meta_test() -> pd.DataFrame:
    rows = [
        {
            **{"profile": "paper", "treatment": treatment, "optimizer": optimizer, "way": way},
            **{"step_ms": ms, "fastest_ms": ms, "slowest_ms": ms, "processor_ms": ms},
            **{"trajectory_seconds": 9 * ms, "device": f"CPU, {threads} threads"},
        }
        for threads in (1, 2)
        for treatment in ("ANML", "OML")
        for optimizer in ("adam", "sgd")
        for way, ms in (("ours", 1.0 / threads), ("torch.optim", 3.0 / threads))
    ]
    return pd.DataFrame(rows)


def network() -> pd.DataFrame:
    made = {"date": "2025-01-04", "commit": "0123456789ab", "device": "CPU, 1 thread"}
    rows = [
        {"profile": "paper", "treatment": treatment, "way": way, "step_ms": ms}
        | {"trajectory_seconds": 9 * ms, "processor": "a processor"}
        | made
        for treatment, times in (("Scratch", 50), ("ANML-FT:PLN", 12))
        for way, ms in (("ours", times), ("torch.optim", 1.5 * times))
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def speed() -> Speed:
    facts = {
        "commit": "0123456789ab",
        "date": "2025-01-02",
        "device": "CPU, 2 threads",
        "processor": "a processor",
    }
    facts |= {"load at the start": "0.01", "matrix side": "2048", "python": "3.11.0"}
    facts |= {name: "1.0" for name in ("torch", "higher", "torchopt")}
    facts |= {"learn2learn": "not installed"}
    return Speed(costs(), sweeps(), facts, meta_test(), network(), beside(), memory())


def test_every_way_that_is_measured_has_its_label():
    measured = {case.way for case in cost.CASES if case.training == "anml"}
    assert measured == set(plot_speed.WAYS)
    assert measured <= set(WAYS)
    assert set(plot_speed.SWEEPS) == set(cost.SWEEPS)


def test_values_are_beside_ours_and_beside_their_own_arithmetic(speed):
    values = plot_speed.speed_values(speed, "paper").set_index("way")
    assert list(values.index) == list(plot_speed.WAYS)
    assert values.loc["higher", "ratio"] == pytest.approx(12)
    exact = 2 * multiply_adds("anml", PROFILES["paper"], by_points=False) / 200e9
    assert values.loc["higher", "floor"] == pytest.approx(exact)
    assert values.loc["adjoint", "floor"] < 0.85 * exact
    assert values.loc["released algorithm", "floor"] < 0.8 * exact


def test_a_library_that_is_missing_is_said_to_be_so(speed):
    table = speed_tables.speed_table(plot_speed.speed_values(speed, "paper")).set_index("way")
    assert table.loc["learn2learn", "seconds"] == "not installed"
    assert set(table.loc["learn2learn"][1:]) == {""}
    assert table.loc["higher", "times ours"] == "12.0"


def test_the_bars_are_the_measured_ways(speed):
    figure = plot_speed.ways_figure(plot_speed.speed_values(speed, "paper"), "a heading")
    time, memory = figure.axes
    widths = [patch.get_width() for patch in time.patches]
    assert widths == pytest.approx([0.5, 1.0, 1.5, 6.0, 3.0, 3.0, 3.0])
    assert [patch.get_width() for patch in memory.patches] == pytest.approx([1.0] * 7)
    text = words(figure)
    assert "learn2learn" not in text
    assert "this companion" in text
    assert "6 s" in text


def test_sweeps_stand_beside_the_arithmetic(speed):
    figure = plot_speed.sweeps_figure(speed, "a heading")
    assert len(figure.axes) == 4
    for axis, name in zip(figure.axes, plot_speed.SWEEPS, strict=True):
        own = speed.sweeps[speed.sweeps["sweep"] == name]
        assert axis.get_xlabel() == plot_speed.SWEEPS[name]
        predicted = axis.lines[-1].get_ydata()
        np.testing.assert_allclose(predicted, 2 * own["multiply_adds"] / 200e9)
        measured = axis.lines[0].get_ydata().astype(float)  # errorbar keeps objects
        np.testing.assert_allclose(measured, own["seconds"])
    np.testing.assert_allclose(plot_speed.sweep_values(speed)["times arithmetic"], 2)


def test_tables_of_the_floor_and_of_meta_testing(speed):
    floor = speed_tables.floor_table(speed)
    assert len(floor) == 3 * len(PROFILES)
    assert set(floor["in convolutions and products"]) == {"75%"}
    assert list(dict.fromkeys(floor["profile"])) == list(PROFILES)
    row = speed_tables.meta_test_table(speed, "paper").iloc[0]
    assert (row["treatment"], row["optimizer"]) == ("ANML", "adam")
    assert row["ours, ms a step"] == "0.5"  # on all threads
    assert row["torch.optim, ms a step"] == "1.5"


def test_steps_where_convolutions_learn_stand_beside_the_plain_loop(speed):
    table = speed_tables.network_table(speed, "paper")
    assert list(table["treatment"]) == ["Scratch", "ANML-FT:PLN"]
    assert list(table["ours, ms a step"]) == ["50", "12"]
    assert set(table["times faster than torch.optim"]) == {"1.50"}
    assert table["ours, s a trajectory"].iloc[1] == "108"
    line = speed_tables.network_line(speed)
    assert line == "Measured on 2025-01-04 at commit 0123456789ab: CPU, 1 thread, a processor"


def test_settings_stand_alone_and_beside_a_busy_process(speed):
    table = speed_tables.beside_table(speed, "paper")
    assert list(table["setting"]) == [setting.name for setting in SETTINGS]
    assert list(table["s beside nothing"]) == ["1.00", "2.00", "3.00", "4.00"]
    assert list(table["s beside one busy process"]) == ["4.00"] * 4
    assert list(table["times as long"]) == ["4.00", "2.00", "1.33", "1.00"]
    line = speed_tables.beside_line(speed)
    assert line == "Measured on 2025-01-03 at commit 0123456789ab: CPU, 2 threads"


def test_ways_of_asking_for_memory_stand_beside_ours(speed):
    table = speed_tables.memory_table(speed, "paper")
    assert list(table["memory"]) == list(memory_speed.SETTINGS)
    assert list(table["times ours"]) == ["1.20", "1.10", "1.00"]
    assert list(table["fastest to slowest"]) == ["1 to 1.3", "0.9 to 1.2", "0.8 to 1.1"]
    assert list(table["pages supplied in an iteration"]) == ["61,398", "1", "0"]
    line = speed_tables.memory_line(speed)
    assert line.endswith("CPU, 2 threads, a processor, huge pages: madvise")


def test_provenance_says_what_was_there(speed):
    text = "\n".join(speed_tables.speed_lines(speed))
    for part in ("2025-01-02", "CPU, 2 threads", "load before the run: 0.01", "200 to 200 GFLOP/s"):
        assert part in text
    assert "learn2learn not installed" in text


def test_glued_numbers(speed):
    numbers = plot_speed.speed_glue(speed, "paper")
    assert numbers["speed_times_higher"] == pytest.approx(12)
    assert numbers["speed_seconds"] == 0.5
    assert numbers["speed_share"] == pytest.approx(100 * numbers["speed_floor"] / 0.5)


def test_measurements_are_read_or_asked_for(speed, tmp_path):
    speed.costs.to_csv(tmp_path / "cost.csv", index=False)
    with pytest.raises(
        AnmlError, match=r"speed_sweeps, speed_machine, meta_test_speed, network_speed.*make bench"
    ):
        read_speed(tmp_path)
    speed.sweeps.to_csv(tmp_path / "speed_sweeps.csv", index=False)
    speed.meta_test.to_csv(tmp_path / "meta_test_speed.csv", index=False)
    speed.network.to_csv(tmp_path / "network_speed.csv", index=False)
    speed.beside.to_csv(tmp_path / "beside.csv", index=False)
    speed.memory.to_csv(tmp_path / "memory_speed.csv", index=False)
    machine = pd.DataFrame(speed.machine.items(), columns=["what", "value"])
    machine.to_csv(tmp_path / "speed_machine.csv", index=False)
    again = read_speed(tmp_path)
    assert again.machine == speed.machine
    assert set(again.costs["gflops"].dropna()) == {200.0}
    pd.testing.assert_frame_equal(
        speed_tables.speed_table(plot_speed.speed_values(again, "paper")),
        speed_tables.speed_table(plot_speed.speed_values(speed, "paper")),
    )
