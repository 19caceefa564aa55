"""Holds the version of the library, without imports, so that setup.py can read it."""

__version__ = "1.0.0"
