"""A raw scan made ready for the search: the FFT filter, the network's input, the comparison's lines."""
