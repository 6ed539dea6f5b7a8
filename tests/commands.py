"""What the tests of `python -m deploy` share: a net for the embedded digits, and the command as a user calls it."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
from nets import weights

import events
from sim.net import PHASE, TOKENS, Cuba, Dense, Input, Net, Readout, Reverse, TokenGate

ROOT = str(Path(__file__).resolve().parents[1])


def digits_net(classes=None):
    """Untrained, for the embedded digits; has every kind of node."""
    encoder = events.default_encoder("digits")
    r, c = np.random.default_rng(1), encoder.channels
    stem = Cuba(
        "stem",
        (Dense(TOKENS, weights(r, 12, c)), Dense(PHASE, weights(r, 12, encoder.tokens))),
        np.full(12, 4096, np.int32),
        np.zeros(12, np.int32),
        4095,
        300,
    )
    back = Cuba(
        "back",
        (Dense("backward", weights(r, 12, c)),),
        np.array([30] * 6 + [2048] * 6, np.int32),
        np.zeros(12, np.int32),
        4095,
        2000,
    )
    nodes = (
        stem,
        TokenGate("gate", "stem", 12, 5),
        Reverse("turned", "gate", 12),
        back,
        Readout("out", (Dense("turned", weights(r, 10, 12)), Dense("back", weights(r, 10, 12)))),
    )
    return Net(
        nodes,
        (Input(TOKENS, c), Input("backward", c, backward=True)),
        encoder.tokens,
        encoder.frames,
        asdict(encoder),
        classes or events.load("digits", "test").classes,
        {"dataset": "digits"},
    )


def deploy(folder, *args, code=0):
    """(stdout, stderr) of `python -m deploy ...`."""
    done = subprocess.run(
        [sys.executable, "-m", "deploy", *args],
        cwd=folder,
        env=dict(os.environ, PYTHONPATH=ROOT),
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def refused(folder, *args):
    """The one line of a user's mistake."""
    out, err = deploy(folder, *args, code=2)
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1, err
    return err


HEAVY = {"torch", "numba", "scipy", "sklearn", "matplotlib", "tonic", "pandas", "h5py", "lava.magma"}
_WATCHED = """
import atexit, json, runpy, sys
atexit.register(lambda: open(sys.argv[-1], "w").write(json.dumps(sorted(sys.modules))))
place = sys.argv.pop()
sys.argv[0] = "deploy"
try:
    runpy.run_module("deploy", run_name="__main__", alter_sys=True)
finally:
    sys.argv.append(place)
"""


def loaded_by(folder, *args, env=None):
    """(the finished process, which of `HEAVY` it has imported) of `python -m deploy ...`."""
    place = os.path.join(folder, "imported.json")
    done = subprocess.run(
        [sys.executable, "-c", _WATCHED, *args, place],
        cwd=folder,
        env=env or dict(os.environ, PYTHONPATH=ROOT),
        capture_output=True,
        text=True,
    )
    with open(place) as file:
        return done, HEAVY & set(json.load(file))
