"""SLAYER's model against the integer engine, every layer, step and neuron."""

import numpy as np
import torch

from sim import engine
from train.data import to_stream

from .to_net import _parts


def slayer_traces(model, tokens):
    """Runs the model in integer mode, where it is. Returns (node name -> uint8 [B, K, n], scores, a tensor there) under
    the names of `convert.to_net.to_net`.

    tokens: uint8 [B, K, C].
    """
    trace = {}
    with torch.no_grad():
        model.eval()
        logits = model(to_stream(tokens, model.readout_gain.device), exact=True, trace=trace)
    rows = {k: v.transpose(1, 2).to(torch.uint8).cpu().numpy() for k, v in trace.items()}
    out = {}
    for name, x in rows.items():
        if name.startswith("stem"):
            out[f"{name[-1]}.{name[:-1]}"] = x
        elif name.endswith(".bank"):
            parts = _parts(model.blocks[name[0]][int(name[1:].split(".")[0])]["bank"])
            out |= {name if len(parts) == 1 else f"{name}{i}": x[..., p] for i, p in enumerate(parts)}
        else:
            out[name] = x
    return out, logits


def compare(model, net, tokens):
    """Compares SLAYER and engine on token spikes uint8 [B, K, C].

    Returns dict(samples, compared, differences, first_difference): the numbers of compared and of differing values, and
    the first difference as dict(layer, sample, step, neuron, slayer, engine) in the net's order, or None."""
    from train.model import logit_integers

    expected, logits = slayer_traces(model, tokens)
    result = engine.run(net, tokens, trace="all")
    compared, differences, first = 0, 0, None
    for node in net.nodes[:-1]:
        if node.name not in expected:
            continue
        a, b = expected[node.name], result.traces[node.name]
        differ = np.argwhere(a != b)
        compared += a.size
        differences += len(differ)
        if len(differ) and first is None:
            s, k, j = (int(i) for i in differ[0])
            first = dict(layer=node.name, sample=s, step=k, neuron=j, slayer=int(a[s, k, j]), engine=int(b[s, k, j]))
    scores = logit_integers(model, logits, tokens.shape[1]).cpu().numpy()
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
        samples=len(tokens),
        compared=compared + scores.size,
        differences=differences + len(differ),
        first_difference=first,
    )
