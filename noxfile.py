"""What developers run, each in an environment of its own: nox -l lists it, nox runs lint, docs and test, nox -s bench measures.

nox -s test-3.12 -- tests/test_cli.py -k output passes on what follows the two dashes. nox -r keeps the environments of the last time.
"""

from pathlib import Path

import nox

nox.options.sessions = ["lint", "docs", "test"]
nox.options.error_on_missing_interpreters = False

PYTHONS = ["3.11", "3.12", "3.13"]
#: One thread for numeric libraries: the tests compare and the benchmarks relate, neither waits for cores.
QUIET = {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
#: Where pip knows a CPU build of torch, it saves gigabytes.
CPU_TORCH = "torch==2.13.0+cpu"


def prepare(session: nox.Session, *extras: str) -> None:
    """This project and its extras, into the session's environment."""
    if {"test", "train"} & set(extras):
        session.run("pip", "install", "--quiet", CPU_TORCH, success_codes=[0, 1], silent=True)
    session.install("-e", f".[{','.join(extras)}]" if extras else ".")


@nox.session
def lint(session: nox.Session) -> None:
    """Style, format and types."""
    prepare(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session(python=PYTHONS)
def test(session: nox.Session) -> None:
    """The suite, or what is asked for of it."""
    prepare(session, "test")
    session.run("python", "-m", "pytest", *session.posargs, env=QUIET)


@nox.session
def docs(session: nox.Session) -> None:
    """The site into build/site, warnings as errors; the page of commands has to be up to date."""
    prepare(session, "docs")
    session.run("python", "scripts/make_commands.py", "--check")
    session.run("python", "-m", "sphinx", "-W", "--keep-going", "-q", "-c", "docs", ".", "build/site")
    session.log(f"open {Path('build/site/index.html').resolve()}")


@nox.session
def bench(session: nox.Session) -> None:
    """One benchmark with its arguments: nox -s bench -- simulate.py 2019-ASR.tar.xz --count 200. Without: simulate.py on the samples."""
    prepare(session, "test")
    script, *rest = session.posargs or ["simulate.py", "docs/samples"]
    session.run("python", f"benchmarks/{script}", *rest, env=QUIET)
