"""Files named after wells, and the plate they make."""

from __future__ import annotations

import pytest

from xrdmatch.report.plate import Filled, plate_markup, plate_size, well_name, well_of, wells_of


@pytest.mark.parametrize(
    ("file", "name"),
    [("A1.xy", "A1"), ("runs/a01.raw", "A1"), ("run 3_H12.xrdml", "H12"), ("B07-UiO66.xy", "B7"), ("C:\\data\\D6.xy", "D6")],
)
def test_a_file_named_after_a_well(file, name):
    assert well_name(well_of(file.replace("\\", "/"))) == name


@pytest.mark.parametrize("file", ["UiO-66.xy", "A13.xy", "I1.xy", "A0.xy", "A1-B2.xy", "MA1.xy", "A1b.xy", "A100.xy", "scan.A1"])
def test_a_file_named_after_none(file):
    assert well_of(file) is None


def test_most_scans_need_a_well_of_their_own():
    assert wells_of(["A1.xy", "B2.xy", "blank.xy"]) == {0: (0, 0), 1: (1, 1)}
    assert wells_of(["A1.xy", "B2.xy", "x.xy", "y.xy", "z.xy"]) == {}
    assert wells_of(["A1.xy", "a01.raw"]) == {}
    assert wells_of(["A1.xy"]) == {}
    assert wells_of([]) == {}


@pytest.mark.parametrize(
    ("wells", "size"), [([(0, 0), (3, 5)], (4, 6)), ([(4, 0)], (6, 8)), ([(0, 7)], (6, 8)), ([(0, 8)], (8, 12)), ([(7, 11)], (8, 12))]
)
def test_the_smallest_plate_is_drawn(wells, size):
    assert plate_size(wells) == size
    markup = plate_markup({well: Filled(place, "pure", "it") for place, well in enumerate(wells)})
    assert markup.count('class="well') == size[0] * size[1]
    assert markup.count("<a ") == len(wells)


def test_what_a_well_says_stays_text():
    markup = plate_markup({(0, 1): Filled(4, "absent", '"><script>x</script>'), (0, 0): Filled(3, "pure", "UiO-66, pure 97 %")})
    assert "<script" not in markup
    assert 'href="#3"' in markup
    assert 'title="A1: UiO-66, pure 97 %"' in markup
