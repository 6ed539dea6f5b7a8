"""SLAYER's model against the integer engine, every layer, step and neuron."""

import numpy as np
import torch

from sim import engine
from sim.net import Net
from sim.net.tokens import Stream
from train.data.batches import to_device
from train.model.smolmamba import SmolMamba, logit_integers

from .to_net import nodes_of


def slayer_traces(model: SmolMamba, stream: Stream) -> tuple[dict, torch.Tensor]:
    """Runs the model in integer mode, where it is. Returns (node name -> uint8 [B, K, n], scores, a tensor there) under
    the names of `convert.to_net.to_net`.
    """
    trace = {}
    with torch.no_grad():
        model.eval()
        logits = model(*to_device(stream, model.readout_gain.device), exact=True, trace=trace)
    out = {k: v.transpose(1, 2).to(torch.uint8).cpu().numpy() for k, v in trace.items()}
    for part, (name, _, rows) in nodes_of(model).items():
        if part != name:
            out[part] = out[name][..., rows]
    return out, logits


def compare(model: SmolMamba, net: Net, stream: Stream) -> dict:
    """Compares SLAYER and engine on a `sim.net.tokens.Stream`.

    Returns dict(samples, compared, differences, first_difference): the numbers of compared and of differing values, and
    the first difference as dict(layer, sample, step, neuron, slayer, engine) in the net's order, or None."""
    expected, logits = slayer_traces(model, stream)
    result = engine.run(net, stream, trace="all")
    compared, differences, first = 0, 0, None
    for node in net.nodes[:-1]:
        a, b = expected[node.name], result.traces[node.name]
        differ = np.argwhere(a != b)
        compared += a.size
        differences += len(differ)
        if len(differ) and first is None:
            s, k, j = (int(i) for i in differ[0])
            first = dict(layer=node.name, sample=s, step=k, neuron=j, slayer=int(a[s, k, j]), engine=int(b[s, k, j]))
    scores = logit_integers(model, logits, stream.steps).cpu().numpy()
    differ = np.argwhere(scores != result.logits)
    if len(differ) and first is None:
        s, j = (int(i) for i in differ[0])
        first = dict(
            layer=net.nodes[-1].name,
            sample=s,
            step=net.steps - 1,
            neuron=j,
            slayer=int(scores[s, j]),
            engine=int(result.logits[s, j]),
        )
    return dict(
        samples=len(stream),
        compared=compared + scores.size,
        differences=differences + len(differ),
        first_difference=first,
    )
