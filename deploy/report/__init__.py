"""The report of a net, one HTML file; and the dossier, an archive of all that goes with it.

`gather` measures, `content` says what there is to be shown, `page` renders it. A page shows what was measured or is
recorded beside the net, and leaves out the rest."""

from .asked import Asked
from .gather import measure
from .page import page, write
from .terminal import summary

__all__ = ["Asked", "measure", "page", "summary", "write"]
