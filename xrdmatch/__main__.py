"""`python -m xrdmatch` and the `xrdmatch` script are the command line."""

import sys


def main() -> None:
    """Entry point. Ctrl-C while the command line is still being imported ends like one that comes later."""
    try:
        from xrdmatch.cli import main as command_line
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    command_line()


if __name__ == "__main__":
    main()
