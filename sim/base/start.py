"""Imported first by what a command starts with: from here on a signal ends it in a line (`signals.starting`)."""

from .signals import starting

starting()
