"""Write library files anew in the layout of this version: those of xrdmatch 0.1 are compressed, and take 0.3 s to load.

    python scripts/rewrite_library.py models/mof-encoder/library.h5

The same library comes out: entries, families, vectors and strongest lines; what is read back is compared before the file is replaced.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import fields
from pathlib import Path

import numpy as np

from xrdmatch.library.reference_library import Library
from xrdmatch.system import atomic_files


def differs(one: tuple[Library, object, object], other: tuple[Library, object, object]) -> list[str]:
    """Names of the parts in which two libraries, with their vectors and lines, are not equal."""
    names = [f.name for f in fields(Library) if f.name != "attrs"]
    parts = [(name, getattr(one[0], name), getattr(other[0], name)) for name in names] + [("vectors", one[1], other[1]), ("lookup", one[2], other[2])]
    found = [name for name, first, second in parts if not equal(np.asarray(first), np.asarray(second))]
    return found if one[0].attrs == other[0].attrs else [*found, "attrs"]


def equal(one: np.ndarray, other: np.ndarray) -> bool:  # type: ignore[type-arg]
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("libraries", nargs="+", type=Path, metavar="LIBRARY.h5")
    for path in parser.parse_args().libraries:
        before = path.stat().st_size
        whole = Library.load_whole(path)
        with tempfile.TemporaryDirectory() as folder, atomic_files.atomic_write(path) as part:
            copy = Path(folder) / "library.h5"
            whole[0].save(copy, *whole[1:])
            if found := differs(whole, Library.load_whole(copy)):
                raise SystemExit(f"{path}: {', '.join(found)} would not come back as they were; nothing was written")
            part.write_bytes(copy.read_bytes())
        print(f"{path}: {before / 1e6:.1f} MB, now {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
