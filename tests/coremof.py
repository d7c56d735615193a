"""Real MOF structures for the tests: CIF files of the PyPI package core-mof (CoRE MOF 2019, CC BY 4.0). Nothing of it is kept in the project.

Taken from XRDMATCH_CORE_MOF (the wheel, or the folder it was unpacked to), else from the installed package, else, where CI=true or
XRDMATCH_DOWNLOAD=1, fetched with pip into a cache folder.
"""

import importlib.util
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from itertools import islice
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "xrdmatch-tests"
ARCHIVE = "CoRE_MOF/data/2019-ASR.tar.xz"


def locate():
    """The wheel or folder of core-mof, or None; downloads it where that is allowed."""
    given = os.environ.get("XRDMATCH_CORE_MOF")
    if given:
        return Path(given)
    installed = importlib.util.find_spec("CoRE_MOF")
    if installed and installed.origin:
        return Path(installed.origin).parents[1]
    if found := sorted(CACHE.glob("core_mof-*.whl")):
        return found[-1]
    if os.environ.get("CI") == "true" or os.environ.get("XRDMATCH_DOWNLOAD") == "1":
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(CACHE), "core-mof"]
        if subprocess.run(command, check=False).returncode == 0:
            return next(iter(CACHE.glob("core_mof-*.whl")), None)
    return None


def members(path):
    """(name, bytes) of the CIF files of 2019-ASR, one after another."""
    if path.is_dir():
        packed = next(iter(path.rglob("2019-ASR.tar.xz")), None)
        if packed is None:
            yield from ((file.name, file.read_bytes()) for file in sorted(path.rglob("*.cif")))
            return
        data = packed.read_bytes()
    else:
        with zipfile.ZipFile(path) as wheel:
            data = wheel.read(ARCHIVE)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:xz") as archive:
        for member in archive:
            if member.isfile() and member.name.endswith(".cif"):
                yield member.name, archive.extractfile(member).read()


def some(count):
    """`count` small and middle-sized CIF files, always the same; none where there is no core-mof."""
    path = locate()
    if path is None or not path.exists():
        return []
    early = sorted(islice(members(path), 20 * count))
    return [(name.rsplit("/")[-1], data) for name, data in early if len(data) < 25_000][:: max(1, len(early) // count // 2)][:count]
