"""Crystals, radiation and patterns: what a structure scatters, and the types that hold it."""
