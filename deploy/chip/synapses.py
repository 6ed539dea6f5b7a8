"""Synapses as the chip stores them: one list for each source neuron and core, in 64-bit words, dense or sparse.

A list holds up to 64 synapses behind a header of 10 bits; a synapse takes its weight, six bits of delay where the
projection has delays, and, if the list is sparse, the index of its target. Dense lists name no target and therefore
hold zeros, too. Lists start on a word. This is Loihi 1's layout as NengoLoihi counts it (github.com/nengo/nengo-loihi,
block.py, `bits_per_axon`); Loihi 2's is not public."""

from dataclasses import dataclass
from functools import singledispatch

import numpy as np
from scipy import sparse

WORD, HEADER, BLOCK, DELAY_BITS = 64, 10, 64, 6
WEIGHT_SIZES = (1, 2, 3, 4, 5, 6, 8, 9)
INDEX_SIZES = (6, 7, 8, 9, 10, 11, 12, 13)  # 13: for the 8,192 neurons of a Loihi 2 core; Loihi 1 ends at 12


@dataclass(frozen=True, eq=False)
class Kernel:
    """A convolution whose lists are shared: source neurons that see the same part of the kernel have one list.

    Attributes:
        weight: [channels_out, channels_in / groups, kernel height, kernel width].
        in_shape, out_shape: (channels, height, width).
        stride, padding, dilation: (vertical, horizontal).

    Neuron number u of the target, in the order in which it is cut, is channel u % channels_out of pixel u //
    channels_out."""

    weight: np.ndarray
    in_shape: tuple
    out_shape: tuple
    stride: tuple
    padding: tuple
    dilation: tuple
    groups: int

    @property
    def shape(self):
        return int(np.prod(self.out_shape)), int(np.prod(self.in_shape))


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
def lists(weight, start, stop, bits, delayed):
    """The `Lists` of target neurons start..stop; bits: of a stored weight; delayed: whether the projection has
    delays.
    """
    raise TypeError(type(weight).__name__)


@singledispatch
def count(weight) -> tuple:
    """(places, non-zero synapses) of a whole projection, each target neuron's counted, shared or not."""
    raise TypeError(type(weight).__name__)


@singledispatch
def values(weight):
    """The weights that are stored, any shape."""
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
    """Dense or sparse lists for so many non-zeros per source among `n` targets, whichever takes less memory."""
    axons = int(np.count_nonzero(nonzero))
    dense = int(axons * list_bits(n, per_entry))
    thin = int(list_bits(nonzero, per_entry + index_bits(n)).sum())
    if dense <= thin:
        return Lists(axons, dense, "dense", np.where(nonzero > 0, n, 0), nonzero)
    return Lists(axons, thin, "sparse", nonzero, nonzero)


@count.register
def _(weight: np.ndarray):
    return weight.size, int(np.count_nonzero(weight))


@count.register(sparse.csr_matrix)
def _(weight):
    return weight.nnz, weight.nnz


@values.register
def _(weight: np.ndarray):
    return weight


@values.register(sparse.csr_matrix)
def _(weight):
    return weight.data


@values.register
def _(weight: Kernel):
    return weight.weight


@count.register
def _(weight: Kernel):
    reach = _targets(weight) >= 0
    per_place = np.count_nonzero(
        weight.weight, axis=(0, 1)
    ).ravel()  # every group's channels see every place of the kernel
    places = int(reach.sum()) * weight.weight.shape[0] * weight.weight.shape[1]
    return places, int(reach.sum(0) @ per_place)


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
    signature = code[_targets(weight)]  # [in pixels, kernel places]
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
    nonzero = sum(
        taps[patterns[:, place], :, :, place] for place in range(patterns.shape[1])
    )  # [patterns, groups, in channels]
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


def _targets(kernel):
    """int [in pixels, kernel places]: the output pixel that an input pixel reaches through each place of the kernel,
    -1 for none.
    """
    (_, height, width), (_, out_height, out_width) = kernel.in_shape, kernel.out_shape
    k_height, k_width = kernel.weight.shape[2:]
    rows = _axis(height, out_height, k_height, kernel.stride[0], kernel.padding[0], kernel.dilation[0])
    columns = _axis(width, out_width, k_width, kernel.stride[1], kernel.padding[1], kernel.dilation[1])
    target = rows[:, None, :, None] * out_width + columns[None, :, None, :]
    hit = (rows[:, None, :, None] >= 0) & (columns[None, :, None, :] >= 0)
    return np.where(hit, target, -1).reshape(height * width, k_height * k_width)


def _axis(size, out_size, kernel, stride, padding, dilation):
    """int [size, kernel]: the output position to which an input position contributes through each tap, -1 for none."""
    place = np.arange(size)[:, None] + padding - dilation * np.arange(kernel)[None, :]
    out = place // stride
    return np.where((place % stride == 0) & (out >= 0) & (out < out_size), out, -1)
