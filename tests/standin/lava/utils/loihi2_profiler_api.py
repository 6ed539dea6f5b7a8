"""Test double of the profiler, see tests/standin/README.md: made-up figures, two units of each a step."""

import os

import numpy as np


class Loihi2HWProfiler:
    def __init__(self, run_config):
        self.run_config = run_config

    def execution_time_probe(self, num_steps):
        self.execution_time = np.full(num_steps, 2e-6)

    def energy_probe(self, num_steps):
        if os.environ.get("STANDIN_NO_ENERGY") != "1":
            self.energy, self.static_energy, self.power = 3e-3, 1e-3, 0.5
