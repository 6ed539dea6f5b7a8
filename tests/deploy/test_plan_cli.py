"""`python -m deploy plan` as a user meets it: JSON, exit codes, picture."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from nets import random_stream
from PIL import Image

from deploy.commands.plan import plan as command
from sim import netx
from sim.base.errors import UserError
from sim.net import PHASE, TOKENS, Cuba, Dense, Input, Net, Readout


def run(*args):
    return CliRunner().invoke(command, [str(a) for a in args])


def net(fan_in=4):
    """Three tokens, of which two are sent."""
    none = np.zeros(3, np.int32)
    sources = Dense(TOKENS, np.full((3, fan_in), 6, np.int16)), Dense(PHASE, np.eye(3, dtype=np.int16) * 4)
    a = Cuba("a", sources, none + 4096, none, 4095, 7)
    return Net(
        (a, Readout("out", (Dense("a", np.full((2, 3), 2, np.int16)),))),
        (Input(TOKENS, fan_in), Input(PHASE, 3, of=PHASE)),
        3,
        4,
        2,
    )


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.net"
    netx.write(net(), path, golden=random_stream(net(), 0, batch=2, kind="random"))
    return path


def test_json_has_what_is_promised(file):
    result = run(file, "--json")
    assert result.exit_code == 0
    p = json.loads(result.stdout)
    assert p["board"] == "oheo-gulch" and p["fits"] is True and p["cores_available"] == 120
    assert p["neurons"] == 3 + 2 and p["synapses"] == 12 + 3 + 6 and p["cores_used"] == 2
    assert p["weight_bits"] == 3 and p["steps_per_sample"] == 8 and p["latency_steps"] == 8 + 2
    assert p["bottleneck"]["text"] and p["energy"]["loihi1-davies2018"]["energy_j_per_sample"] > 0
    assert p["data"] == "golden input of the file, 2 sample(s)"
    assert [row["name"] for row in p["host"]] == [TOKENS, PHASE, "out sum"]
    phase = p["host"][1]["spikes_per_sample"]
    assert 0 < phase <= 8 and p["sent"] == phase / 12
    assert all(row["source"] for row in p["limits"])
    assert set(p["activity"]) > {"samples", "steps", "synops", "messages", "layer_synops"}


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_picture(file, tmp_path, suffix):
    picture = tmp_path / f"chip{suffix}"
    assert run(file, "--picture", picture, "--json").exit_code == 0
    if suffix == ".png":
        with Image.open(picture) as image:
            assert image.size[0] > 300 and len(np.unique(np.asarray(image.convert("L")))) > 10
    else:
        assert "<svg" in picture.read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["model.net", picture.name])


def test_what_does_not_fit_exits_with_1_and_one_sentence(tmp_path):
    path = tmp_path / "wide.net"
    netx.write(net(fan_in=5000), path)
    result = run(path, "--json")
    assert result.exit_code == 1
    p = json.loads(result.stdout)
    assert p["fits"] is False and p["reason"]["layer"] == "a" and p["energy"] is None
    assert (
        result.stderr.count("\n") == 1
        and "layer 'a' needs 5,001 axons in, the chip has 4,096 (905 too many" in result.stderr
    )


def test_no_samples_no_cost(tmp_path):
    path = tmp_path / "bare.net"
    netx.write(net(), path)
    result = run(path)
    assert result.exit_code == 0 and "the file has no sample to run" in result.stdout


@pytest.mark.parametrize(
    "args, message",
    [
        (["--board", "pohoiki"], "no board 'pohoiki'"),
        (["--table", "loihi9"], "no cost table 'loihi9'"),
        (["--picture", "x.bmp"], "a picture is .png"),
        (["--dataset", "nothing"], "no data set 'nothing'"),
    ],
)
def test_a_users_mistake_is_one_line(file, args, message):
    result = run(file, *args)
    assert (
        isinstance(result.exception, UserError)
        and message in str(result.exception)
        and "\n" not in str(result.exception)
    )
