"""The version of this package, alone in a file that every module may import."""

__version__ = "0.2.0"
