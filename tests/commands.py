"""What the tests of `python -m deploy` share: a net for the embedded digits, and the command as a user calls it."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from nets import weights

import events
from sim.net import PHASE, TOKENS, Cuba, Dense, Input, Net, Readout

ROOT = str(Path(__file__).resolve().parents[1])


def digits_net(classes=None, places=10):
    """Untrained, for the embedded digits: alternating scan, 10 of 16 tokens sent, a bank, a skip, views backward."""
    encoder = replace(events.default_encoder("digits"), scan="alternate", places=places, leak=64 if places else 0)
    r, c, n = np.random.default_rng(1), encoder.channels, encoder.tokens
    memoryless, none = np.full(12, 4096, np.int32), np.zeros(12, np.int32)
    stem = Cuba(
        "stem", (Dense(TOKENS, weights(r, 12, c)), Dense(PHASE, weights(r, 12, n))), memoryless, none, 4095, 300
    )
    bank = Cuba(
        "bank",
        (Dense("stem", weights(r, 12, 12)), Dense("backward_phase", weights(r, 12, n))),
        np.array([30] * 6 + [2048] * 6, np.int32),
        none,
        4095,
        2000,
    )
    back = Cuba(
        "back", (Dense("backward", weights(r, 12, c)), Dense("bank", weights(r, 12, 12))), memoryless, none, 4095, 900
    )
    readout = Readout("out", (Dense("back", weights(r, 10, 12)), Dense("bank", weights(r, 10, 12))))
    return Net(
        (stem, bank, back, readout),
        (
            Input(TOKENS, c),
            Input(PHASE, n, of=PHASE),
            Input("backward", c, backward=True),
            Input("backward_phase", n, of=PHASE, backward=True),
        ),
        n,
        encoder.frames,
        encoder.per_frame,
        encoder.orders,
        encoder.settings(),
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
