"""Populations with several membrane time constants as several with one each: a layer of the chip has one."""

from dataclasses import replace

import numpy as np

from sim.base.errors import UserError
from sim.integer import DECAY_ONE

from .maps import Map, as_matrix
from .populations import Population

PARTS_LIMIT = 64


def split(found: tuple, output: str) -> tuple:
    """The populations, those with several membrane decays in parts named `name.0`, `name.1`, ...

    Raises:
        UserError: one of them is the output's, or reads its own spikes (its parts could not in the same step), or has
            more than 64 decays.
    """
    parts = {p.name: made for p in found if (made := _parts(p, output))}
    return tuple(piece for p in found for piece in _pieces(p, parts)) if parts else found


def _parts(p, output):
    """[(name, places)], or None for a population that stays whole."""
    decays = np.rint(DECAY_ONE * p.dynamics.dv)
    values = np.unique(decays)
    if len(values) == 1:
        return None
    if p.name == output:
        raise UserError(
            f"node {p.name!r}: has several membrane time constants and is the output, which is one layer of the chip"
        )
    if any(source == p.name for source, _ in p.edges):
        raise UserError(
            f"node {p.name!r}: has several membrane time constants and reads its own spikes; the chip has one for such"
            " a layer"
        )
    if len(values) > PARTS_LIMIT:
        raise UserError(
            f"node {p.name!r}: has {len(values)} membrane time constants, a layer of the chip has one; at most"
            f" {PARTS_LIMIT} are split"
        )
    return [(f"{p.name}.{k}", np.flatnonzero(decays == value)) for k, value in enumerate(values)]


def _pieces(p, parts):
    own = parts.get(p.name, [(p.name, None)])
    if len(own) == 1 and not any(source in parts for source, _ in p.edges):
        return [p]
    out = []
    for name, rows in own:
        edges = []
        for source, m in p.edges:
            m = m if rows is None else _rows(m, rows, p.where)
            of = parts.get(source)
            edges += (
                [(source, m)]
                if of is None
                else [(piece, _columns(m, columns, p.where, k == 0)) for k, (piece, columns) in enumerate(of)]
            )
        out.append(_piece(p, name, rows, tuple(edges)))
    return out


def _piece(p, name, rows, edges) -> Population:
    if rows is None:
        return replace(p, edges=edges)
    d = p.dynamics
    taken = {key: getattr(d, key)[rows] for key in ("du", "dv", "gain", "bias")}
    threshold = None if d.threshold is None else d.threshold[rows]
    return replace(p, name=name, shape=(len(rows),), edges=edges, dynamics=replace(d, **taken, threshold=threshold))


def _rows(m, rows, where) -> Map:
    """What reaches some of the neurons."""
    zeros = np.zeros(len(rows), np.int64)
    return replace(
        m,
        shape=(len(rows),),
        kernel=None,
        scale=None,
        matrix=as_matrix(m, where)[rows],
        bias=m.bias[rows],
        late=zeros,
    )


def _columns(m, columns, where, first) -> Map:
    """What comes from some of the sources; the bias with the first of them."""
    return replace(
        m,
        before=(len(columns),),
        kernel=None,
        scale=None,
        matrix=as_matrix(m, where)[:, columns],
        bias=m.bias if first else np.zeros_like(m.bias),
        delay=m.delay[columns],
    )
