"""What messages cost in a graph."""

import numpy as np

from .. import fan_out


class GraphCounter:
    """Adds up messages and synaptic operations, node by node; see `sim.sequential.Counter`.

    Attributes:
        messages, synops: node name -> number so far; operations stand with the node that takes them.
    """

    def __init__(self, net):
        self._net = net
        self._reach = {node.name: [(e.source, fan_out(e.layer)) for e in node.edges] for node in net.nodes}
        self.messages = {layer.name: 0 for layer in net.layers}
        self.synops = {layer.name: 0 for layer in net.layers}

    def add(self, out: dict) -> None:
        """Takes what all nodes sent in some steps: name -> [B, K, *shape]. An edge that is late is counted when its
        source sends.
        """
        sent = {}
        for layer in self._net.layers:
            spikes = out[layer.name].reshape(-1, int(np.prod(layer.shape)))
            sent[layer.name] = np.count_nonzero(spikes, axis=0).astype(np.int64)
            self.messages[layer.name] += int(sent[layer.name].sum())
        for name, edges in self._reach.items():
            self.synops[name] += sum(int(sent[source] @ reach) for source, reach in edges)
