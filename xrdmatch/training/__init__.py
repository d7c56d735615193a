"""Training patterns, networks and the weights of the probabilities. The only package that imports PyTorch."""
