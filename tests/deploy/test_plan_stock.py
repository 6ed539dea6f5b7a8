"""The plan against others: the presets of training, and SANA-FE where it is installed."""

import numpy as np
import pytest

from deploy.chip import board, energy
from deploy.chip.activity import measure
from deploy.chip.allocate import allocate
from deploy.chip.plan import plan
from sim import engine
from sim.expansion import expand
from sim.net import TOKENS, Cuba, Dense, Input, Net, Readout

OHEO = board.load("oheo-gulch")


@pytest.mark.parametrize(
    "name, scan, cores",
    [("small", "alternate", 13), ("small", "twin", 25), ("base", "alternate", 18), ("base", "twin", 35)],
)
def test_the_presets_for_dvs128_fit_one_chip(name, scan, cores):
    torch = pytest.importorskip("torch")
    from convert.to_net import to_net
    from train.config import preset
    from train.model.smolmamba import SmolMamba

    torch.manual_seed(0)
    config = preset(name, dataset="dvs128", scan=scan)
    encoder = config.make_encoder()
    model = SmolMamba(config, encoder, 11)
    model.fold()
    net = to_net(model, [str(i) for i in range(11)], {})
    separate, shared = (plan(net, OHEO, packing) for packing in ("separate", "shared"))
    assert separate.fits and separate.sizes.steps_per_sample == encoder.steps == encoder.frames * encoder.per_frame
    assert shared.placed.cores_used < separate.placed.cores_used == cores


def memoryless_net(seed, layers=6, n=16):
    """A chain of neurons that forget at once, so that SANA-FE's neuron computes the same; long enough to lie on two
    tiles.
    """
    r = np.random.default_rng(seed)
    nodes, source, m = [], TOKENS, 12
    for k in range(layers):
        weight = (r.integers(-40, 60, (n, m)) * 2 * (r.random((n, m)) < 0.6)).astype(np.int16)
        nodes.append(
            Cuba(f"n{k}", (Dense(source, weight),), np.full(n, 4096, np.int32), np.full(n, -1, np.int32), 4096, 40)
        )
        source, m = nodes[-1].name, n
    return Net((*nodes, Readout("out", (Dense(source, np.full((3, n), 2, np.int16)),))), (Input(TOKENS, 12),), 4, 10)


def test_counts_and_energy_against_sanafe(tmp_path):
    """The same net, placement and prices in SANA-FE (pip install sanafe): spikes, operations and messages equal,
    energy equal but for the first steps.
    """
    sanafe = pytest.importorskip("sanafe")
    net = memoryless_net(3)
    x = (np.random.default_rng(0).random((1, net.steps, 12)) < 0.3).astype(np.uint8)
    x[:, -8:] = 0  # so that the pipeline is empty at the end
    expansion = expand(net)
    placement = allocate(expansion, OHEO)
    ours = measure(net, expansion, placement, OHEO, x)
    ran = engine.run(net, x)
    assert ran.spikes["n5"] > 20 and ours.counts.hops_ew > 20

    prices = energy.load("loihi1-davies2018").energy_pj
    (tmp_path / "arch.yaml").write_text(
        ARCHITECTURE.format(**prices, update=prices["active_updates"] - prices["inactive_updates"])
    )
    arch = sanafe.load_arch(str(tmp_path / "arch.yaml"))
    # There tiles are numbered down the columns of the 8 x 4 mesh, here along its rows.
    cores = [c for t in range(32) for c in arch.tiles[t % 8 * 4 + t // 8].cores]
    graph, groups = sanafe.Network(), {}
    for core, part in placement.parts():
        p = part.population
        node = net.node(p.name)
        silent = {
            "threshold": 1e9,
            "leak_decay": 0.0,
            "reset": 0.0,
        }  # SANA-FE has no graded neurons: the read-out only listens
        attributes = silent if p.graded else silent | {"threshold": float(node.v_th)}
        groups[p.name] = graph.create_neuron_group(
            p.name, p.n, model_attributes=attributes, soma_hw_name="lif", log_spikes=True
        )
        for i in range(p.n):
            groups[p.name][i].set_attributes(model_attributes={"bias": 0.0 if p.graded else float(node.bias[i])})
            groups[p.name][i].map_to_core(cores[core])
    groups[TOKENS] = graph.create_neuron_group(TOKENS, 12, log_spikes=True)
    for i in range(12):
        groups[TOKENS][i].set_attributes(
            soma_hw_name=f"input[{i}]", model_attributes={"spikes": [bool(s) for s in x[0, :, i]]}
        )
        groups[TOKENS][i].map_to_core(cores[0])
    for _, part in placement.parts():
        for j, found in zip(part.population.inputs, part.lists):
            pairs = [
                (i, k)
                for i in np.flatnonzero(found.entries).tolist()
                for k in range(j.weight.shape[0])
                if found.encoding == "dense" or j.weight[k, i]
            ]
            groups[j.source].connect_neurons_sparse(
                groups[part.population.name], {"weight": [float(j.weight[k, i]) for i, k in pairs]}, pairs
            )
    simulated = sanafe.SpikingChip(arch)
    simulated.load(graph)
    theirs = simulated.sim(net.steps, timing_model="simple", spike_trace=True)
    fired = {}
    for step in theirs["spike_trace"]:
        for neuron in step:
            fired[neuron.group_name] = fired.get(neuron.group_name, 0) + 1
    assert fired == {name: n for name, n in ran.spikes.items() if n}
    assert theirs["spikes"] == ours.counts.synops
    assert theirs["packets_sent"] == ours.counts.messages
    assert theirs["energy"]["synapse"] == pytest.approx(prices["synops"] * 1e-12 * ours.counts.synops, rel=1e-6)
    assert theirs["energy"]["network"] == pytest.approx(
        1e-12 * sum(prices[k] * getattr(ours.counts, k) for k in ("messages", "hops_ew", "hops_ns")), rel=1e-6
    )
    updates = 1e-12 * sum(prices[k] * getattr(ours.counts, k) for k in ("active_updates", "inactive_updates"))
    # There a layer begins one step after its source: a few updates of the first steps have no input yet.
    assert theirs["energy"]["soma"] == pytest.approx(updates, rel=0.02)


ARCHITECTURE = """
architecture:
  name: chip
  attributes: {{topology: mesh, width: 8, height: 4, link_buffer_size: 16, sync_model: fixed, latency_sync: 0.0}}
  tile:
    - name: tile[0..31]
      attributes:
        {{energy_north_hop: {hops_ns}e-12, latency_north_hop: 0.0, energy_east_hop: {hops_ew}e-12, latency_east_hop: 0.0,
         energy_south_hop: {hops_ns}e-12, latency_south_hop: 0.0, energy_west_hop: {hops_ew}e-12, latency_west_hop: 0.0}}
      core:
        - name: core[0..3]
          attributes: {{buffer_position: soma, buffer_inside_unit: false, max_neurons_supported: 1024}}
          axon_in:
            - {{name: in, attributes: {{energy_message_in: 0.0, latency_message_in: 0.0}}}}
          soma:
            - name: lif
              attributes: {{model: leaky_integrate_fire, energy_access_neuron: {inactive_updates}e-12, latency_access_neuron: 0.0,
                           energy_update_neuron: {update}e-12, latency_update_neuron: 0.0, energy_spike_out: 0.0, latency_spike_out: 0.0}}
            - name: input[0..63]
              attributes: {{model: input, energy_access_neuron: 0.0, latency_access_neuron: 0.0, energy_update_neuron: 0.0, latency_update_neuron: 0.0,
                           energy_spike_out: 0.0, latency_spike_out: 0.0}}
          dendrite:
            - {{name: dendrites, attributes: {{model: accumulator, energy_update: 0.0, latency_update: 0.0}}}}
          synapse:
            - {{name: synapses, attributes: {{model: current_based, energy_process_spike: {synops}e-12, latency_process_spike: 0.0}}}}
          axon_out:
            - {{name: out, attributes: {{energy_message_out: {messages}e-12, latency_message_out: 0.0}}}}
"""  # noqa: E501
