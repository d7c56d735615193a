"""`python -m xrdmatch` and the `xrdmatch` script are the command line."""

import os
import sys


def main() -> None:
    """Entry point. Ctrl-C before a command runs ends like one that comes later; a second one ends the program at once."""
    if "OMP_NUM_THREADS" not in os.environ:  # NumPy's sums are rounded by the number of threads; processes are the parallel part
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        from xrdmatch.system.interrupts import watch_for_the_second
        from xrdmatch.system.startup import no_garbage

        watch_for_the_second()
        with no_garbage():
            from xrdmatch.cli.app import main as command_line
        command_line()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
