"""Completion as the shells ask for it: each by its own protocol, and in the shell itself where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

CASES = [
    ("xrdmatch iden", {"identify"}),
    ("xrdmatch identify --recu", {"--recursive"}),
    ("xrdmatch identify --format ", {"table", "json", "csv"}),
    ("xrdmatch train x.h5 --network w", {"wang2020"}),
]


@pytest.fixture
def home(tmp_path):
    """A home folder and a PATH on which xrdmatch is the package of this tree."""
    script = tmp_path / "bin" / "xrdmatch"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m xrdmatch "$@"\n')
    script.chmod(0o755)
    return {
        **os.environ,
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / ".config"),
        "PATH": f"{script.parent}{os.pathsep}{os.environ['PATH']}",
    }


def asked(home, **variables):
    done = subprocess.run(["xrdmatch"], env={**home, **variables}, capture_output=True, text=True, timeout=300, check=False)
    assert not done.stderr
    return done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="the shells of Unix")
@pytest.mark.parametrize(("line", "wanted"), CASES)
def test_what_the_shells_are_told(home, line, wanted):
    bash = asked(home, _XRDMATCH_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(line.split(" ")) - 1))
    assert set(bash.split()) == wanted
    fish = asked(home, _XRDMATCH_COMPLETE="complete_fish", _TYPER_COMPLETE_FISH_ACTION="get-args", _TYPER_COMPLETE_ARGS=line)
    assert {entry.split("\t")[0] for entry in fish.splitlines() if entry.strip()} == wanted
    zsh = asked(home, _XRDMATCH_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=line)
    assert all(f'"{word}"' in zsh for word in wanted)


def test_models_are_completed(home):
    from xrdmatch.model.folder import shipped_models

    line = "xrdmatch identify --model "
    told = asked(home, _XRDMATCH_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD="3")
    assert set(told.split()) == set(shipped_models())


def installed(shell, home):
    """Set completion up as a user does; the shell is recognised by the process that calls."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here")
    # Without a second command the shell would be replaced by xrdmatch, and nobody could tell which it was.
    done = subprocess.run([shell, "-c", "xrdmatch --install-completion; true"], env=home, capture_output=True, text=True, timeout=300, check=False)
    assert f"{shell} completion installed" in done.stdout, done.stdout + done.stderr


def test_in_bash(home, tmp_path):
    installed("bash", home)
    code = """source ~/.bashrc
COMP_WORDS=(xrdmatch identify --format ''); COMP_CWORD=3; _xrdmatch_completion xrdmatch; echo "${COMPREPLY[@]}"; complete -p xrdmatch"""
    done = subprocess.run(["bash", "-c", code], env=home, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True)
    words, how = done.stdout.splitlines()
    assert set(words.split()) == {"table", "json", "csv"}
    assert "-o default" in how  # files where xrdmatch has nothing to say


def test_in_fish(home, tmp_path):
    installed("fish", home)
    (tmp_path / "scan.raw").touch()
    for line, wanted in ((*CASES[0],), ("xrdmatch identify sc", {"scan.raw"})):
        done = subprocess.run(
            ["fish", "-c", f'complete -C "{line}"'], env=home, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True
        )
        assert {entry.split("\t")[0] for entry in done.stdout.splitlines() if entry.strip()} == wanted


def test_in_zsh(home):
    installed("zsh", home)
    code = "source ~/.zshrc >/dev/null 2>&1; print -r -- ${_comps[xrdmatch]}"
    done = subprocess.run(["zsh", "-f", "-c", code], env=home, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "_xrdmatch"
