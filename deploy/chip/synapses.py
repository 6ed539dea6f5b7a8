"""Synapses as the chip stores them: one list for each source neuron and core, in 64-bit words, dense or sparse.

A list holds up to 64 synapses behind a header of 10 bits; a synapse takes its weight, six bits of delay where the
projection has delays, and, if the list is sparse, the index of its target. Dense lists name no target and therefore
hold zeros, too. Lists start on a word. This is Loihi 1's layout as NengoLoihi counts it (github.com/nengo/nengo-loihi,
block.py, `bits_per_axon`); Loihi 2's is not public."""

from dataclasses import dataclass
from functools import singledispatch

import numpy as np
from scipy import sparse

from sim.expansion import Kernel

WORD, HEADER, BLOCK, DELAY_BITS = 64, 10, 64, 6
WEIGHT_SIZES = (1, 2, 3, 4, 5, 6, 8, 9)
INDEX_SIZES = (6, 7, 8, 9, 10, 11, 12, 13)  # 13: for the 8,192 neurons of a Loihi 2 core; Loihi 1 ends at 12


@dataclass(frozen=True, eq=False)
class Lists:
    """What a range of target neurons needs of one projection.

    Attributes:
        axons: source neurons with a synapse there.
        bits: memory.
        encoding: "dense", "sparse" or "shared".
        entries: int64 [sources], entries that a spike of each source makes the core work through.
        nonzero: int64 [sources], those of them that are not 0.
    """

    axons: int
    bits: int
    encoding: str
    entries: np.ndarray
    nonzero: np.ndarray


def order(population) -> np.ndarray:
    """The neurons of a population in the order in which it is cut into parts: for a convolution pixel after pixel,
    all channels of one together.
    """
    kernels = [j.weight for j in population.inputs if isinstance(j.weight, Kernel)]
    if not kernels:
        return np.arange(population.n)
    channels, height, width = kernels[0].out_shape
    return np.arange(population.n).reshape(channels, height * width).T.ravel()


def stored_bits(bits) -> int:
    """Bits in which a weight of so many bits is stored."""
    return next(size for size in WEIGHT_SIZES if size >= bits)


def list_bits(entries, per_entry):
    """Memory of lists with so many entries each, elementwise: whole words, a header for every 64 synapses."""
    entries = np.asarray(entries, np.int64)
    blocks, rest = np.divmod(entries, BLOCK)
    words = lambda n: -(-(n * per_entry + HEADER) // WORD)  # noqa: E731
    return WORD * (blocks * words(BLOCK) + np.where(rest > 0, words(rest), 0))


def index_bits(n):
    """Bits that name one of `n` neurons of a core; the largest there is if `n` is too many for a core anyway."""
    need = max(1, int(n - 1).bit_length())
    return next((size for size in INDEX_SIZES if size >= need), INDEX_SIZES[-1])


@singledispatch
def lists(weight, start: int, stop: int, bits: int, delayed: bool) -> Lists:
    """The `Lists` of target neurons start..stop, counted as `order` has them; bits: of a stored weight; delayed:
    whether the projection has delays.
    """
    raise TypeError(type(weight).__name__)


@lists.register
def _(weight: np.ndarray, start, stop, bits, delayed):
    nonzero = np.count_nonzero(weight[start:stop], axis=0).astype(np.int64)
    return _cheaper(nonzero, stop - start, bits + DELAY_BITS * delayed)


@lists.register(sparse.csr_matrix)
def _(weight, start, stop, bits, delayed):
    nonzero = np.bincount(weight.indices[weight.indptr[start] : weight.indptr[stop]], minlength=weight.shape[1]).astype(
        np.int64
    )
    return _cheaper(nonzero, stop - start, bits + DELAY_BITS * delayed)


def _cheaper(nonzero, n, per_entry):
    """Dense or sparse lists for so many non-zeros per source among `n` targets, whichever takes less memory; if they
    take the same, the sparse ones, which hold no zeros to work through.
    """
    axons = int(np.count_nonzero(nonzero))
    dense = int(axons * list_bits(n, per_entry))
    thin = int(list_bits(nonzero, per_entry + index_bits(n)).sum())
    if dense < thin:
        return Lists(axons, dense, "dense", np.where(nonzero > 0, n, 0), nonzero)
    return Lists(axons, thin, "sparse", nonzero, nonzero)


@lists.register
def _(weight: Kernel, start, stop, bits, delayed):
    channels, per_group = weight.weight.shape[:2]
    out_group = channels // weight.groups
    first, last = start // channels, (stop - 1) // channels
    # What a pixel contributes: all channels (code 1), or those of the cut pixel at the start (2) or at the end (3).
    kinds = np.zeros((4, channels), bool)
    kinds[1] = True
    kinds[2, start - first * channels :] = True
    kinds[3, : stop - last * channels] = True
    if first == last:
        kinds[2] &= kinds[3]
    code = np.zeros(weight.out_shape[1] * weight.out_shape[2] + 1, np.int8)  # the last entry: no pixel
    code[first : last + 1] = 1
    code[first] = 2
    if last > first:
        code[last] = 3
    signature = code[weight.reach]  # [in pixels, kernel places]
    patterns, which = np.unique(signature, axis=0, return_inverse=True)
    which = which.ravel()  # numpy 2.0 gives it two axes
    per_kind = kinds.reshape(4, weight.groups, out_group).sum(2)  # channels a pixel contributes to each group
    entries = per_kind[patterns].sum(1)  # [patterns, groups]
    taps = np.stack(
        [
            np.stack(
                [
                    np.count_nonzero(
                        weight.weight[g * out_group : (g + 1) * out_group][kind[g * out_group : (g + 1) * out_group]],
                        axis=0,
                    ).reshape(per_group, -1)
                    for g in range(weight.groups)
                ]
            )
            for kind in kinds
        ]
    )  # [4, groups, in channels, places]
    per_place = [taps[patterns[:, place], :, :, place] for place in range(patterns.shape[1])]
    nonzero = np.sum(per_place, 0)  # [patterns, groups, in channels]
    memory = int(list_bits(entries, bits + DELAY_BITS * delayed + index_bits(stop - start)).sum()) * per_group
    # Sources are in the order channel, row, column, a group's channels together.
    entries = np.repeat(entries[which].T, per_group, axis=0).ravel()
    return Lists(
        int(np.count_nonzero(entries)),
        memory,
        "shared",
        entries,
        nonzero[which].transpose(1, 2, 0).reshape(entries.shape),
    )
