"""A model folder: a network, a library and what belongs to them."""
