"""The artifact `model.net` and the nets that SLAYER exports, as HDF5 files. The format: docs/netx-format.md."""

from .describe import describe
from .files import export_record, load, read, read_digest, read_golden, read_slayer, write
from .golden import Golden, golden_differences, make_golden
from .stock import stock_refusal

__all__ = [
    "Golden",
    "describe",
    "export_record",
    "golden_differences",
    "load",
    "make_golden",
    "read",
    "read_digest",
    "read_golden",
    "read_slayer",
    "stock_refusal",
    "write",
]
