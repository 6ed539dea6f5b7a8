"""The numbers of a token gate on the chip, for its expansion in Lava (`sim.lava.stock`) and for the plan.

No Lava here.
"""

MAX_WEIGHT_EXP = 7
MAX_DIGIT = 127  # of a number that several synapses bring together: seven bits and a sign


def gate_threshold(gate, net):
    """Spikes that open a token; a threshold that no token can reach becomes the lowest of those."""
    return min(gate.threshold, gate.size * net.frames + 1)


def digits(value):
    """[(weight, weight exponent)] of the synapses that bring `value` > 0 together: it is the sum of weight <<
    exponent.
    """
    out = []
    while value:
        exponent = 0 if value <= MAX_DIGIT else MAX_WEIGHT_EXP
        digit = min(value >> exponent, MAX_DIGIT)
        out.append((digit, exponent))
        value -= digit << exponent
    return out
