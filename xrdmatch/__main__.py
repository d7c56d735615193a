"""`python -m xrdmatch` and the `xrdmatch` script are the command line."""

import os
import sys


def main() -> None:
    """Entry point. Ctrl-C while the command line is still being imported ends like one that comes later."""
    if "OMP_NUM_THREADS" not in os.environ:  # NumPy's sums are rounded by the number of threads; processes are the parallel part
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        from xrdmatch.system.startup import no_garbage

        with no_garbage():
            from xrdmatch.cli.app import main as command_line
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    command_line()


if __name__ == "__main__":
    main()
