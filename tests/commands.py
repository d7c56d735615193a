"""The command line as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

#: A text that would break a page that takes it as it is.
EVIL = '</script><script>document.title="broken"</script><img src=x onerror="document.title=\'broken\'">'


def in_subprocess(*args, **options):
    """A finished process. Its terminal is wide, so that the words of an error stand in one line however long the path in it is."""
    options["env"] = {**(options.get("env") or os.environ), "COLUMNS": "400"}
    return subprocess.run([sys.executable, "-m", "xrdmatch", *map(str, args)], capture_output=True, timeout=300, check=False, **options)
