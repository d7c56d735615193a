"""A scan to ranked frameworks and a verdict."""
