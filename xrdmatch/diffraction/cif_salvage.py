"""What can be saved of a CIF file that breaks the rules of CIF: the cell, the symmetry and the atoms, line by line."""

from __future__ import annotations

import re

from xrdmatch.errors import StructureError

#: Marks an atom row that could not be salvaged.
DROPPED = "# left out: "
_ATOM_TAG = re.compile(r"_atom_site_(fract|cartn)_x")
_SYMOP_TAG = re.compile(r"(equiv_pos_as|(operation|centering))_xyz$")
_VALUE = re.compile(r"""'[^']*'(?=\s|$)|"[^"]*"(?=\s|$)|\S+""")
_NEEDED_TAG = re.compile(
    r"_(cell_(length|angle|formula_units)|symmetry_(space|int)|space_group_(name|it_number|magn|ssg)|chemical_formula_sum|atom_sites_)"
)


def plain_tag(tag: str) -> str:
    """A tag in small letters, as the first dictionary wrote it: `_atom_site_fract_x` for `_atom_site.fract_x`."""
    return tag.lower().replace(".", "_")


def salvage(text: str) -> str:
    """A minimal CIF with the cell, the symmetry and the atoms of `text`, whatever is broken in the rest of it.

    Values with unquoted spaces are quoted, quotes that are never closed are closed, rows that run over several lines are joined, and loops other
    than atoms and symmetry are dropped. An atom row that stays incomplete is kept as a comment. Raises StructureError where one thing is said twice
    with different values.
    """
    out = ["data_salvaged"]
    said: dict[str, str] = {}
    tags: list[str] = []  # of the loop that is being read
    row: list[str] = []  # values of a row that is not yet complete
    in_header = atoms_read = False
    for raw in text.splitlines():
        line = raw.strip()
        word, _, rest = line.partition(" ")
        word = word.lower()
        if word.startswith("data_") and atoms_read:
            break
        if word == "loop_" or word.startswith("data_"):
            _drop(row, out)
            tags, in_header = rest.split(), word == "loop_"
        elif line.startswith("_"):
            _drop(row, out)
            tag, *value = line.split(None, 1)
            if in_header and not value:
                tags.append(tag)
            else:
                in_header, tags = False, []
                if _NEEDED_TAG.match(plain_tag(tag)) and value:
                    _pair(tag, _quoted(value[0]), said, out)
        elif tags and line and not line.startswith("#"):
            if in_header:
                in_header, tags = False, _begin_loop(tags, out)
                atoms_read = atoms_read or any(_ATOM_TAG.fullmatch(plain_tag(tag)) for tag in tags)
            if tags:
                _loop_row(line, tags, row, out)
    _drop(row, out)
    return "\n".join(out) + "\n"


def _pair(tag: str, value: str, said: dict[str, str], out: list[str]) -> None:
    """Write one value, once."""
    name = plain_tag(tag)
    if name not in said:
        said[name] = value
        out.append(f"{name} {value}")
    elif _plain_value(said[name]) != _plain_value(value):
        raise StructureError(f"{tag} is given twice, as {said[name]} and as {value}: remove one, or put each structure into a file of its own")


def _plain_value(value: str) -> str | float:
    """A value without its standard uncertainty, as a number where it is one."""
    try:
        return float(value.partition("(")[0])
    except ValueError:
        return value


def _begin_loop(tags: list[str], out: list[str]) -> list[str]:
    """The tags of a loop that is needed, written to `out`; none for another loop. Of a modulated structure only that it is one."""
    out.extend(f"{tag} x1" for tag in tags if "_ssg_operation" in tag)
    if not any(_ATOM_TAG.fullmatch(plain_tag(tag)) or _SYMOP_TAG.search(plain_tag(tag)) for tag in tags):
        return []
    out.extend(["loop_", *tags])
    return tags


def _loop_row(line: str, tags: list[str], row: list[str], out: list[str]) -> None:
    """Add the values of `line` to the unfinished `row`, and write the row to `out` once it is complete."""
    if any(_SYMOP_TAG.search(plain_tag(tag)) for tag in tags):
        if found := re.search(r"['\"]?\s*([-+xyzXYZ0-9/., ]+?)\s*['\"]?$", line):
            operation = re.sub(r"^\d+\s+(?=[-+]?[\dxyzXYZ])", "", found.group(1)) if len(tags) > 1 else found.group(1)
            out.append(" ".join("1" if not _SYMOP_TAG.search(plain_tag(tag)) else f"'{operation}'" for tag in tags))
        return
    values = _VALUE.findall(line)
    if len(row) + len(values) > len(tags):
        _drop(row, out)
    row += values
    if len(row) == len(tags):
        out.append(" ".join(row))
        row.clear()
    elif len(row) > len(tags):
        _drop(row, out)


def _drop(row: list[str], out: list[str]) -> None:
    if row:
        out.append(DROPPED + " ".join(row))
        row.clear()


def _quoted(value: str) -> str:
    bare = value.rstrip(",").strip("'\"").replace("'", "")
    return f"'{bare}'" if " " in bare or not bare else bare
