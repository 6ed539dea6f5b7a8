"""The sections of a page, in order: each a function of the report, None where it has nothing to show."""

from .first import first_screen
from .show_charts import curves, training
from .show_chip import chip, energy
from .show_end import again
from .show_layers import layers, parity
from .show_samples import confusion, film, traces

SECTIONS = (first_screen, film, traces, confusion, curves, energy, chip, layers, parity, training, again)
