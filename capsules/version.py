"""The version of the library, in a module that needs nothing else, so that packaging can read it."""

__version__ = "1.0.0"
