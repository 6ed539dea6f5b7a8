"""An MNIST net that lava-dl ships (784, 512, 512, 10; 16 steps, random pictures), behind its input neurons: the same
spikes by our engine in chip integers, by snntorch in float32 and by SANA-FE in double precision on its own Loihi 1;
`ratio` is the engine's speed over the row's. Samples a second, building and loading left out.

The last layer adds up and never spikes: answers are its sums. Of SANA-FE's figures the row has the energy, beside what
`deploy plan` says under the same prices for the same placement and the same lists of synapses.
"""

from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from io import StringIO
from typing import Any

import numpy as np

from sim.sequential import InputLayer, Sequential

from .measure import median, require
from .netx import lava_dl_nets
from .registry import Row

STEPS = 16
NEVER = 1e18  # a threshold
PRICES = "loihi1-sanafe"


@dataclass(frozen=True, eq=False)
class Case:
    """A net and what the engine makes of spikes.

    Attributes:
        net: three dense layers behind an input of spikes. x: uint8 [n, STEPS, 784].
        sent: layer name -> spikes [n, STEPS, neurons], of those that spike. sums: int64 [n, 10], of the last.
        rate: samples a second of the engine.
    """

    net: Sequential
    x: np.ndarray
    sent: dict
    sums: np.ndarray
    rate: float


def rows(quick):
    folder = lava_dl_nets()
    if folder is None:
        yield Row("MNIST", None, "", note="lava-dl is not installed")
        return
    made = case(folder / "mnist.net", 8 if quick else 64, 2 if quick else 7)
    yield Row("MNIST: engine", made.rate, "samples/s", 1.0, f"{len(made.x)} samples at once, {STEPS} steps")
    for name, package, measure in (("snntorch", "snntorch", snntorch), ("SANA-FE", "sanafe", sanafe)):
        if find_spec(package):
            yield measure(made, 2 if quick else 7)
        else:
            yield Row(f"MNIST: {name}", None, "", note=f"not installed: pip install {package}")


def case(path, n: int, runs: int) -> Case:
    """What is simulated: what the net's input neurons send for `n` random pictures."""
    from sim import netx

    whole = netx.read_slayer(path)
    pictures = np.random.default_rng(0).integers(0, 140, (n, 1, *whole.layers[0].shape)).repeat(STEPS, 1)
    first = whole.layers[0]
    x = whole.run(pictures)[first.name]
    net = Sequential((InputLayer(first.name, first.shape), *whole.layers[1:]))
    sent, currents = net.run(x, currents=True)
    sums = currents[net.layers[-1].name][:, -1].astype(np.int64) >> 6
    rate = n / median(lambda: net.run(x), runs)
    return Case(net, x, {layer.name: sent[layer.name] for layer in net.layers[1:-1]}, sums, rate)


def _differing(case, found, samples):
    """Text: of the values of all layers that spike, those in which `found` (as `Case.sent`) is not the engine's."""
    wrong = sum(int(np.count_nonzero(found[name] != sent[:samples])) for name, sent in case.sent.items())
    values = sum(sent[:samples].size for sent in case.sent.values())
    require(wrong <= 0.01 * values, f"{wrong} of {values} spikes differ from the engine's")
    return f"{wrong:,} of {values:,} values of its spiking layers are not the engine's"


def snntorch(case: Case, runs: int) -> Row:
    """Linear layers and `Leaky`, which resets to zero in the step of the spike, as the chip does."""
    import snntorch as snn
    import torch

    weights = [torch.from_numpy(layer.weight.astype(np.float32)) for layer in case.net.layers[1:]]
    decays = [1 - layer.neuron.v_decay / 4096 for layer in case.net.layers[1:-1]]
    thresholds = [float(layer.neuron.v_th) for layer in case.net.layers[1:-1]]
    cells = [
        snn.Leaky(beta=beta, threshold=threshold, reset_mechanism="zero", reset_delay=False).eval()
        for beta, threshold in zip(decays, thresholds)
    ]
    x = torch.from_numpy(case.x.astype(np.float32))

    @torch.no_grad()
    def run():
        states, sums, sent = [cell.reset_mem() for cell in cells], torch.zeros(()), [[] for _ in cells]
        for k in range(STEPS):
            spikes = x[:, k]
            for i, cell in enumerate(cells):
                spikes, states[i] = cell(spikes @ weights[i].T, states[i])
                sent[i].append(spikes)
            sums = sums + spikes @ weights[-1].T
        return [torch.stack(part, 1) for part in sent], sums

    sent, sums = run()
    said = _differing(case, {name: part.numpy() for name, part in zip(case.sent, sent)}, len(case.x))
    same = int((sums.numpy().argmax(1) == case.sums.argmax(1)).sum())
    seconds = median(run, runs)
    said += f"; {same} of {len(case.x)} answers the same"
    note = f"{version('snntorch')}, float32, {torch.get_num_threads()} threads; {said}"
    return Row("MNIST: snntorch", len(case.x) / seconds, "samples/s", case.rate * seconds / len(case.x), note)


def sanafe(case: Case, runs: int) -> Row:
    """One sample at a time, as long as it takes to leave the last layer."""
    from deploy.chip.board import load
    from deploy.chip.plan import plan

    wait = max(case.net.lags.values())
    chip = _chip(case, np.concatenate([case.x[0], np.zeros((wait, case.x.shape[2]), np.uint8)]), runs + 2)
    found: dict[str, Any] = {}

    def run():
        chip.reset()  # of states; the input goes on
        with redirect_stdout(StringIO()):  # it counts its steps there
            found.update(chip.sim(STEPS + wait, timing_model="simple", spike_trace=True))

    run()
    sent = {name: np.zeros((1, STEPS + wait, values.shape[2]), np.uint8) for name, values in case.sent.items()}
    for k, step in enumerate(found["spike_trace"]):
        for neuron in step:
            sent[neuron.group_name][0, k, neuron.neuron_offset] = 1
    sent = {name: values[:, case.net.lags[name] :][:, :STEPS] for name, values in sent.items()}
    said = _differing(case, sent, 1)
    seconds = median(run, runs)
    costs = plan(case.net, load("loihi1"), x=case.x[:1], tables=(PRICES,)).costs
    assert costs is not None, "the MNIST net fits"
    ours = costs.energy[PRICES].energy_j_per_sample
    energy = f"energy {found['energy']['total'] * 1e6:.4g} uJ, by deploy plan {ours * 1e6:.4g} uJ"
    note = f"{version('sanafe')}, timing model simple, spikes traced; {said}; {energy} a sample"
    return Row("MNIST: SANA-FE", 1 / seconds, "samples/s", case.rate * seconds, note)


def _chip(case, rows, times):
    """The net on SANA-FE's Loihi, placed as `deploy plan` does; its input is `rows` [steps, 784], so many times."""
    import sanafe

    from deploy.chip.allocate import allocate
    from deploy.chip.board import load
    from sim.expansion import expand

    placement = allocate(expand(case.net), load("loihi1"))
    architecture, graph = sanafe.load_loihi(), sanafe.Network()
    # There tiles are numbered down the columns of the 8 x 4 mesh, here along its rows.
    cores = [core for t in range(32) for core in architecture.tiles[t % 8 * 4 + t // 8].cores]
    first, *layers = case.net.layers
    groups = {first.name: graph.create_neuron_group(first.name, rows.shape[1])}
    for i in range(rows.shape[1]):
        train = dict(spikes=[bool(s) for s in np.tile(rows[:, i], times)])
        groups[first.name][i].set_attributes(soma_hw_name=f"loihi_inputs[{i}]", model_attributes=train)
        groups[first.name][i].map_to_core(cores[0])
    for layer in layers:
        last = layer is layers[-1]
        constants = dict(threshold=NEVER if last else float(layer.neuron.v_th), reset=0.0)
        constants["leak_decay"] = 1.0 if last else 1 - layer.neuron.v_decay / 4096
        groups[layer.name] = graph.create_neuron_group(
            layer.name, layer.shape[0], model_attributes=constants, soma_hw_name="loihi_lif", log_spikes=not last
        )
    for core, part in placement.parts():
        for i in part.members:
            groups[part.population.name][int(i)].map_to_core(cores[core])
        for j, found in zip(part.population.inputs, part.lists):
            _connect(groups[j.source], groups[part.population.name], _dense(j.weight), part, found)
    chip = sanafe.SpikingChip(architecture)
    chip.load(graph)
    return chip


def _dense(weight):
    return weight if isinstance(weight, np.ndarray) else weight.toarray()


def _connect(source, target, weight, part, lists):
    """The entries that the core's lists have, zeros of dense ones included."""
    here = weight[part.members]
    entries = np.ones_like(here) if lists.encoding == "dense" else here
    k, i = np.nonzero(entries)
    pairs = list(zip(i.tolist(), np.asarray(part.members)[k].tolist()))
    source.connect_neurons_sparse(target, {"weight": here[k, i].astype(float).tolist()}, pairs)
