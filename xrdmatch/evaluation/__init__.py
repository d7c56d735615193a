"""Labelled scans to accuracy, what the network is compared with, and what it looks at."""
