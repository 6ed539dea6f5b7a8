"""From stream time to chip time.

Every synapse costs one step, a token gate two (count, output AND), a reversal a frame. A node that reads several
sources waits for the slowest; the others are delayed."""

from functools import singledispatch

from .net import PHASE, Cuba, Net, Readout, Reverse, TokenGate

GATE_STEPS = 2
REVERSE_STEPS = 2  # phase AND, then the delay line


@singledispatch
def node_steps(node, tokens):
    """Chip steps from the arrival of the slowest source's spike to this node's own spike for the same stream step."""
    raise TypeError(type(node).__name__)


@node_steps.register(Cuba)
@node_steps.register(Readout)
def _(node, tokens):
    return 1


@node_steps.register
def _(node: TokenGate, tokens):
    return GATE_STEPS


@node_steps.register
def _(node: Reverse, tokens):
    return REVERSE_STEPS + tokens - 1


def latencies(net: Net) -> dict:
    """Name -> number of chip steps by which the node's output lags its stream step.

    Inputs lag 0; the phase is periodic and never late.
    """
    late = {i.name: 0 for i in net.inputs}
    late[PHASE] = 0
    for node in net.nodes:
        slowest = max((late[s] for s in node.sources if s != PHASE), default=0)
        late[node.name] = slowest + node_steps(node, net.tokens)
    return late


def edge_delays(net: Net) -> dict:
    """(source, node name) -> extra steps on that edge beyond the one that every synapse takes, so that all sources of a
    node meet.
    """
    late = latencies(net)
    out = {}
    for node in net.nodes:
        for source in node.sources:
            if source != PHASE:
                out[source, node.name] = late[node.name] - node_steps(node, net.tokens) - late[source]
    return out
