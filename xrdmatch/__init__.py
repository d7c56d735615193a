"""Names the metal-organic framework in a raw powder X-ray diffraction scan."""

__version__ = "0.1.0"
