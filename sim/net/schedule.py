"""From stream time to chip time.

Every synapse costs one step. A node that reads several sources waits for the slowest; the others are delayed.
"""

from .nodes import Net


def latencies(net: Net) -> dict:
    """Name -> number of chip steps by which the node's output lags its stream step; inputs lag 0."""
    late = {i.name: 0 for i in net.inputs}
    for node in net.nodes:
        late[node.name] = max(late[s] for s in node.sources) + 1
    return late


def edge_delays(net: Net) -> dict:
    """(source, node name) -> extra steps on that edge beyond the one that every synapse takes, so that all sources of a
    node meet.
    """
    late = latencies(net)
    return {(s, node.name): late[node.name] - 1 - late[s] for node in net.nodes for s in node.sources}
