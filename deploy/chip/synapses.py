"""Synapses as the chip stores them: one list for each source neuron and core, in 64-bit words, dense or sparse.

A list holds up to 64 synapses behind a header of 10 bits; a synapse takes its weight, six bits of delay where the
projection has delays, and, if the list is sparse, the index of its target. Dense lists name no target and therefore
hold zeros, too. Lists start on a word. This is Loihi 1's layout as NengoLoihi counts it (github.com/nengo/nengo-loihi,
block.py, `bits_per_axon`); Loihi 2's is not public."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, singledispatch
from typing import NamedTuple

import numpy as np
from scipy import sparse

from sim.expansion import Kernel, Population
from sim.expansion.weights import Weight

WORD, HEADER, BLOCK, DELAY_BITS = 64, 10, 64, 6
WEIGHT_SIZES = (1, 2, 3, 4, 5, 6, 8, 9)
SPARED = 0.1  # share of zeros from which on lists are sparse, though they may take more memory
INDEX_SIZES = (6, 7, 8, 9, 10, 11, 12, 13)  # 13: for the 8,192 neurons of a Loihi 2 core; Loihi 1 ends at 12


@dataclass(frozen=True, eq=False)
class Lists:
    """What a range of target neurons needs of one projection.

    Attributes:
        axons: source neurons with a synapse there.
        bits: memory.
        encoding: "dense", "sparse" or "shared".
        of_sources: gives (int64 [sources], entries that a spike of each source makes the core work through; int64
            [sources], those of them that are not 0). Counted when asked for: a large net has thousands of lists.
        listed: gives bool [sources], which have entries.
    """

    axons: int
    bits: int
    encoding: str
    of_sources: Callable
    listed: Callable

    @property
    def entries(self) -> np.ndarray:
        return self.of_sources()[0]

    @property
    def nonzero(self) -> np.ndarray:
        return self.of_sources()[1]


@lru_cache(maxsize=8)
def order(population: Population) -> np.ndarray:
    """The neurons of a population in the order in which it is cut into parts: for a convolution pixel after pixel,
    all channels of one together.
    """
    kernels = [j.weight for j in population.inputs if isinstance(j.weight, Kernel)]
    if not kernels:
        return np.arange(population.n)
    channels, height, width = kernels[0].out_shape
    return np.arange(population.n).reshape(channels, height * width).T.ravel()


def stored_bits(bits: int) -> int:
    """Bits in which a weight of so many bits is stored."""
    return next(size for size in WEIGHT_SIZES if size >= bits)


def list_bits(entries: np.ndarray, per_entry: int) -> np.ndarray:
    """Memory of lists with so many entries each, elementwise: whole words, a header for every 64 synapses."""
    entries = np.asarray(entries, np.int64)
    blocks, rest = np.divmod(entries, BLOCK)
    words = lambda n: -(-(n * per_entry + HEADER) // WORD)  # noqa: E731
    return WORD * (blocks * words(BLOCK) + np.where(rest > 0, words(rest), 0))


def index_bits(n: int) -> int:
    """Bits that name one of `n` neurons of a core; the largest there is if `n` is too many for a core anyway."""
    need = max(1, int(n - 1).bit_length())
    return next((size for size in INDEX_SIZES if size >= need), INDEX_SIZES[-1])


@singledispatch
def lists(weight: Weight, start: int, stop: int, bits: int, delayed: bool) -> Lists:
    """The `Lists` of target neurons start..stop, counted as `order` has them; bits: of a stored weight; delayed:
    whether the projection has delays.
    """
    raise TypeError(type(weight).__name__)


@lists.register
def _(weight: np.ndarray, start, stop, bits, delayed):
    count = lambda: np.count_nonzero(weight[start:stop], axis=0).astype(np.int64)  # noqa: E731
    return _cheaper(count, stop - start, bits + DELAY_BITS * delayed)


@lists.register(sparse.csr_matrix)
def _(weight, start, stop, bits, delayed):
    def count():
        targets = weight.indices[weight.indptr[start] : weight.indptr[stop]]
        return np.bincount(targets, minlength=weight.shape[1]).astype(np.int64)

    return _cheaper(count, stop - start, bits + DELAY_BITS * delayed)


def _cheaper(count, n, per_entry):
    """Dense or sparse lists for as many non-zeros per source among `n` targets as `count()` says.

    Memory costs something only where it is short, an entry costs energy and time with every spike: lists are sparse
    where that spares at least a tenth of the entries (`SPARED`), or takes no more memory.
    """
    nonzero = count()
    axons = int(np.count_nonzero(nonzero))
    dense = int(axons * list_bits(n, per_entry))
    thin = int(list_bits(nonzero[nonzero > 0], per_entry + index_bits(n)).sum())
    is_dense = dense < thin and nonzero.sum() > (1 - SPARED) * axons * n

    def of_sources():
        found = count()
        return (np.where(found > 0, n, 0) if is_dense else found), found

    bits, encoding = (dense, "dense") if is_dense else (thin, "sparse")
    return Lists(axons, bits, encoding, of_sources, lambda: count() > 0)


@lists.register
def _(weight: Kernel, start, stop, bits, delayed):
    found = _entries(weight, start, stop)
    entries, per_group = found.entries, weight.weight.shape[1]
    memory = list_bits(entries, bits + DELAY_BITS * delayed + index_bits(stop - start))
    axons = int((np.bincount(found.which, minlength=len(entries)) @ (entries > 0)).sum()) * per_group

    def listed():
        out = np.zeros((weight.groups, per_group, weight.in_shape[1] * weight.in_shape[2]), bool)
        out[:, :, found.near] = (entries > 0)[found.which].T[:, None, :]
        return out.ravel()

    of_sources = lambda: _of_sources(weight, start, stop)  # noqa: E731
    return Lists(axons, int(memory.sum()) * per_group, "shared", of_sources, listed)


class _OfKernel(NamedTuple):
    """What all parts of a convolution need.

    Attributes:
        reach: see `Kernel.reach`. lowest, highest: int [in pixels], the pixels among these.
        before: int32 [channels out + 1, channels in of a group, places], weights that are not 0 in the channels before.
    """

    reach: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    before: np.ndarray


@lru_cache(maxsize=4)
def _of_kernel(kernel) -> _OfKernel:
    weight, reach = kernel.weight, kernel.reach
    nonzero = (weight != 0).reshape(*weight.shape[:2], -1)
    before = np.zeros((len(weight) + 1, *nonzero.shape[1:]), np.int32)
    np.cumsum(nonzero, axis=0, out=before[1:])
    return _OfKernel(reach, np.where(reach < 0, reach.max() + 1, reach).min(1), reach.max(1), before)


class _Entries(NamedTuple):
    """What the lists of a convolution's sources hold in one part, by the pattern in which a pixel reaches it.

    Attributes:
        entries: int [patterns, groups]. near: the in pixels that reach it; which: the pattern of each.
        patterns: int [patterns, places], kinds of the pixels reached. kinds: the channels that each has, (begin, end).
    """

    entries: np.ndarray
    near: np.ndarray
    which: np.ndarray
    patterns: np.ndarray
    kinds: list


def _entries(kernel, start, stop) -> _Entries:
    channels, known = kernel.weight.shape[0], _of_kernel(kernel)
    first, last = start // channels, (stop - 1) // channels
    begin, end = start - first * channels, stop - last * channels
    # What a pixel contributes: all channels (code 1), or those of the cut pixel at the start (2) or at the end (3).
    kinds = [(0, 0), (0, channels), (begin, end if first == last else channels), (0, end)]
    code = np.zeros(kernel.out_shape[1] * kernel.out_shape[2] + 1, np.int64)  # the last entry: no pixel
    code[first : last + 1] = 1
    code[first] = 2
    if last > first:
        code[last] = 3
    near = np.flatnonzero((known.lowest <= last) & (known.highest >= first))
    patterns, which = _unique_rows(code[known.reach[near]])
    out_group = channels // kernel.groups
    per_kind = np.array([[len(_within(kind, g, out_group)) for g in range(kernel.groups)] for kind in kinds])
    return _Entries(per_kind[patterns].sum(1), near, which, patterns, kinds)


def _within(kind, group, size):
    """The channels of a group that a kind of pixel has."""
    return range(max(kind[0], group * size), max(min(kind[1], (group + 1) * size), max(kind[0], group * size)))


def _unique_rows(codes):
    """(the different rows of codes 0..3, which of them each row is)."""
    if codes.shape[1] > 31:
        rows, which = np.unique(codes, axis=0, return_inverse=True)
        return rows, which.ravel()  # numpy 2.0 gives it two axes
    keys = codes @ (1 << 2 * np.arange(codes.shape[1], dtype=np.int64))
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    return codes[first], which.ravel()


def _of_sources(kernel, start, stop):
    """`Lists.of_sources` of a convolution; sources are in the order channel, row, column, a group's channels
    together.
    """
    found, before = _entries(kernel, start, stop), _of_kernel(kernel).before
    channels, per_group = kernel.weight.shape[:2]
    out_group = channels // kernel.groups
    taps = np.zeros((4, kernel.groups, per_group, before.shape[2]), np.int64)
    for i, kind in enumerate(found.kinds):
        for g in range(kernel.groups):
            here = _within(kind, g, out_group)
            taps[i, g] = before[here.stop] - before[here.start]
    nonzero = np.zeros((len(found.patterns), kernel.groups, per_group), np.int64)
    for place in range(before.shape[2]):
        nonzero += taps[found.patterns[:, place], :, :, place]
    pixels = kernel.in_shape[1] * kernel.in_shape[2]
    out = np.zeros((2, kernel.groups, per_group, pixels), np.int64)
    out[0, :, :, found.near] = found.entries[found.which][:, :, None]
    out[1, :, :, found.near] = nonzero[found.which]
    return out[0].ravel(), out[1].ravel()


def neediest(weight: Weight) -> int:
    """A target neuron that reads as many sources as any, in the order in which its population is cut."""
    return int(_needs(weight))


@singledispatch
def _needs(weight):
    raise TypeError(type(weight).__name__)


@_needs.register
def _(weight: np.ndarray):
    return np.count_nonzero(weight, axis=1).argmax()


@_needs.register(sparse.csr_matrix)  # pyright: ignore[reportArgumentType]
def _(weight):
    return np.diff(weight.indptr).argmax()


@_needs.register
def _(weight: Kernel):
    """The pixel that most places of the kernel reach, and in it the channel with most weights."""
    reach = _of_kernel(weight).reach
    pixels = np.bincount(reach[reach >= 0].ravel(), minlength=weight.out_shape[1] * weight.out_shape[2])
    return pixels.argmax() * weight.weight.shape[0] + np.count_nonzero(weight.weight, axis=(1, 2, 3)).argmax()
