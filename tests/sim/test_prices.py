"""Tables of prices: those that are here can be read, and a user's own is refused by the entry that is wrong."""

import pytest

from sim import prices
from sim.base.errors import UserError

OWN = """
title = "mine"
source = "measured"
leaves_out = ["leakage"]
[energy_pj]
synops = 1.5
"""


def test_all_tables_are_read():
    assert prices.USUAL in prices.names()
    assert all(prices.load(name).energy_pj for name in prices.names())


def test_a_table_of_ones_own(tmp_path):
    (tmp_path / "own.toml").write_text(OWN)
    table = prices.load(tmp_path / "own.toml")
    assert (table.title, table.energy_pj, table.time_ns, table.assumes) == ("mine", {"synops": 1.5}, {}, ())
    assert prices.picojoules(table, {"synops": 4, "spikes": 1}) == {"synops": 6.0}


@pytest.mark.parametrize(
    "old, new, said",
    [
        ('title = "mine"', 'name = "mine"', "unknown entry 'name', known are title"),
        ('"measured"', "3", "source is a int, expected a str"),
        ('title = "mine"', "", "lacks title"),
        ('["leakage"]', "[]", "lacks leaves_out"),
        ("synops", "synapses", "energy_pj has the unknown entry 'synapses', known are"),
        ("1.5", "-1.5", "energy_pj.synops is -1.5, expected a number that is not negative"),
        ("1.5", "true", "energy_pj.synops is True, expected a number"),
        ("[energy_pj]", "[time_ns]\nlunch = 1\n[energy_pj]", "time_ns has the unknown entry 'lunch'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, old, new, said):
    assert OWN.count(old) == 1
    (tmp_path / "own.toml").write_text(OWN.replace(old, new))
    with pytest.raises(UserError) as e:
        prices.load(tmp_path / "own.toml")
    assert f"own.toml: {said}" in str(e.value) and "\n" not in str(e.value)


def test_a_name_that_there_is_not():
    with pytest.raises(UserError, match="no cost table 'none'; there are .*loihi1-davies2018"):
        prices.load("none")
