"""The command line as a process of its own."""

from __future__ import annotations

import subprocess
import sys

#: A text that would break a page that takes it as it is.
EVIL = '</script><script>document.title="broken"</script><img src=x onerror="document.title=\'broken\'">'


def in_subprocess(*args, **options):
    return subprocess.run([sys.executable, "-m", "xrdmatch", *map(str, args)], capture_output=True, timeout=300, check=False, **options)
