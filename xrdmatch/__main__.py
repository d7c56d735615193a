"""`python -m xrdmatch` is the command line."""

from xrdmatch.cli import main

if __name__ == "__main__":
    main()
