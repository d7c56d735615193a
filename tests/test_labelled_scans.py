"""Labelled patterns to accuracy."""

from __future__ import annotations

import io
import json

import cifs
import numpy as np
import pytest

from xrdmatch.errors import LibraryError
from xrdmatch.evaluation.labelled_scans import Evaluation, Row, Score, evaluate, fits, judge, read_labels, wilson
from xrdmatch.report.records import console_for, print_evaluation
from xrdmatch.search.identify import Identifier
from xrdmatch.search.result import Identification, Match


@pytest.fixture(scope="module")
def identifier(tiny_model):
    return Identifier(tiny_model, "cpu")


def found(*names, verdict="match"):
    """An answer with these matches, in order."""
    matches = [
        Match(i, f"{name}_clean", name, "", f"{name} / twin", [f"{name}_clean", f"{name}_other"], 0.9, 0.5, 0.0) for i, name in enumerate(names, 1)
    ]
    return Identification("scan.xy", verdict, (), tuple((name, 0.5) for name in names[:1]), matches=matches, seconds=0.1)


def row(*ranks, kind="mof", verdict="match"):
    return Row("a.xy", "A", kind, ranks, verdict, "A", 0.9, 0.9, 0.1, "")


class TestWilson:
    @pytest.mark.parametrize(
        ("right", "total", "low", "high"),
        [(17, 30, 0.392, 0.726), (0, 10, 0.0, 0.278), (10, 10, 0.722, 1.0), (1, 1, 0.207, 1.0), (50, 100, 0.404, 0.596), (290, 304, 0.924, 0.972)],
    )
    def test_known_values(self, right, total, low, high):
        assert wilson(right, total) == pytest.approx((low, high), abs=6e-4)

    def test_nothing_counted(self):
        assert wilson(0, 0) == (0.0, 1.0)

    def test_covers_the_truth_as_often_as_it_says(self):
        rng = np.random.default_rng(0)
        for share in (0.5, 0.8, 0.93):
            inside = [low <= share <= high for low, high in (wilson(int(right), 30) for right in rng.binomial(30, share, 2000))]
            assert 0.91 < np.mean(inside) < 0.99

    def test_is_symmetric_and_within_bounds(self):
        for total in (1, 7, 30):
            for right in range(total + 1):
                low, high = wilson(right, total)
                assert 0.0 <= low <= right / total <= high <= 1.0
                assert wilson(total - right, total) == pytest.approx((1 - high, 1 - low))


def test_the_table_lists_what_has_no_phase_first():
    stream = io.StringIO()
    rows = [row(1), row(0, 1, kind="mixture"), row(0, 3, kind="mixture"), row(0), row(kind="unknown")]
    print_evaluation(Evaluation(rows), console_for(stream, 80))
    wrong = stream.getvalue().split("Not in the first place (2):")[1].strip().splitlines()
    assert ["rank 3" in wrong[0], "not found" in wrong[1]] == [True, True]


class TestLabels:
    @pytest.fixture
    @staticmethod
    def path(tmp_path):
        """Where labels.csv is."""
        return tmp_path / "labels.csv"

    @pytest.fixture
    @staticmethod
    def rows_of(path):
        """The rows of a labels.csv of this text."""

        def read(text):
            path.write_text(text)
            return read_labels(path)

        return read

    def test_columns_and_rows(self, rows_of):
        rows = rows_of("file,label,accepted,wavelength,kind\na.xy,ZIF-8,ZIF-8|VELVOY,1.54,mof\nb.xy,none,,,blank\n")
        assert [one["file"] for one in rows] == ["a.xy", "b.xy"]
        assert rows[0]["accepted"] == "ZIF-8|VELVOY"
        assert rows[1]["wavelength"] == ""

    def test_as_spreadsheets_write_them(self, path):
        path.write_bytes('\ufefffile,label,accepted\r\n"a, b.xy",Zn₂(TBAPy),"A;B"\r\n'.encode())
        assert read_labels(path) == [{"file": "a, b.xy", "label": "Zn₂(TBAPy)", "accepted": "A;B"}]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("name,label\na,b\n", "file not found"),
            ("file,what\na,b\n", "label not found"),
            ("", "file, label not found"),
            ("file\n", "label not found"),
        ],
    )
    def test_missing_columns(self, rows_of, text, said):
        with pytest.raises(LibraryError, match=said):
            rows_of(text)

    def test_what_is_no_table(self, tmp_path):
        binary = tmp_path / "labels.csv"
        binary.write_bytes(b"file,label\n\xff\xfe\x00\x81\n")
        for path in (binary, tmp_path / "missing.csv", tmp_path):
            with pytest.raises(LibraryError, match="cannot be read"):
                read_labels(path)

    @pytest.mark.parametrize(("separator", "decimal"), [(";", ","), (";", "."), ("\t", ","), (",", ".")])
    def test_as_spreadsheets_of_other_countries_write_them(self, rows_of, separator, decimal):
        lines = [["file", "label", "accepted", "wavelength"], ["a.xy", "ZIF-8", '"ZIF-8;ZIF-67"', f"1{decimal}5406"]]
        assert rows_of("\n".join(separator.join(line) for line in lines) + "\n") == [
            {"file": "a.xy", "label": "ZIF-8", "accepted": "ZIF-8;ZIF-67", "wavelength": "1.5406"}
        ]

    def test_as_excel_saves_its_own(self, path, rows_of):
        """A line that states the separator, names in capitals, columns and rows that are empty, a code page, UTF-16."""
        text = "sep=;\r\nFile;Label;Kind;Wavelength;;\r\nprobe ä.xy;ZIF-8;MOF;1,5406;;\r\n;;;;;\r\n;;\r\nleer.xy;;Blank;;;\r\n"
        for encoding in ("utf-8-sig", "cp1252", "utf-16"):
            path.write_bytes(text.encode(encoding))
            first, second = read_labels(path)
            assert first == {"file": "probe ä.xy", "label": "ZIF-8", "kind": "MOF", "wavelength": "1.5406"}
            assert judge(found("ZIF-8"), second).ranks == ()
        with pytest.raises(LibraryError, match="line 4"):
            rows_of("sep=;\nfile;label\n\nb.xy;?\n")

    def test_a_row_with_too_much_in_it(self, rows_of):
        with pytest.raises(LibraryError, match="line 2: has more columns than the first line; put quotes"):
            rows_of("file,label\na.xy,MIL-53, wet\n")

    def test_a_label_that_names_nothing_is_not_scored(self, rows_of):
        with pytest.raises(LibraryError, match="line 2: its label '\\?' names nothing"):
            rows_of("file,label\na.xy,?\n")

    def test_a_table_without_rows(self, rows_of):
        assert rows_of("file,label,accepted\n") == []

    @pytest.mark.parametrize("text", ["file,label,accepted\na.xy,A,MIL(53\n", "file,label,wavelength\na.xy,A,copper\n", "file,label\n,A\na.xy\n"])
    def test_rows_that_cannot_be_used_name_their_line(self, rows_of, text):
        with pytest.raises(LibraryError, match=r"labels.csv, line \d"):
            rows_of(text)


class TestJudge:
    def test_by_id_name_family_or_member(self):
        match = found("ZIF-8").matches[0]
        for accepted in ("ZIF-8$", "^ZIF-8_clean", "twin", "_other$"):
            assert fits(match, accepted)
        assert not fits(match, "ZIF-80|MIL")

    def test_ranks_of_each_phase(self):
        labels = {"file": "a.xy", "label": "A", "accepted": "MIL-88B;MIL-101", "kind": "mixture"}
        assert judge(found("ZIF-8", "MIL-101", "MIL-88B"), labels).ranks == (3, 2)
        assert judge(found("MIL-88B"), labels).ranks == (1, 0)
        assert judge(found(verdict="unusable"), labels).ranks == (0, 0)

    @pytest.mark.parametrize("kind", ["unknown", "blank", "Blank "])
    def test_nothing_may_be_named(self, kind):
        for accepted in ("", None, ";"):
            assert judge(found("ZIF-8"), {"file": "a.xy", "label": "ZIF-8", "accepted": accepted, "kind": kind}).ranks == ()

    @pytest.mark.parametrize("label", ["ZIF-8", "zif 8", "ZIF8", "Zif_8"])
    def test_without_more_the_label_counts_however_it_is_spelled(self, label):
        for row in ({"label": label}, {"label": label, "accepted": "", "kind": "mof"}):
            assert judge(found("MIL-53", "ZIF-8"), {"file": "a.xy", **row}).ranks == (2,)
            assert judge(found("ZIF-80", "ZIF-9"), {"file": "a.xy", **row}).ranks == (0,)
        assert judge(found("ZIF-8"), {"file": "a.xy", "label": label}).kind == "pattern"

    def test_the_answer_in_short(self):
        one = judge(found("ZIF-8", "MIL-53"), {"file": "a.xy", "label": "ZIF-8", "accepted": "ZIF-8"})
        assert (one.file, one.label, one.first, one.similarity, one.probability, one.verdict) == ("a.xy", "ZIF-8", "ZIF-8", 0.9, 0.5, "match")
        assert judge(found(verdict="unusable"), {"file": "a.xy", "label": ""}).first == ""


class TestScores:
    def scores(self, *rows):
        return {(score.kind, score.what): (score.right, score.total) for score in Evaluation(list(rows)).scores()}

    def test_ranks(self):
        scores = self.scores(row(1), row(2), row(5), row(0), row(6))
        assert [scores["mof", f"top-{rank}"] for rank in (1, 2, 3, 4, 5)] == [(1, 5), (2, 5), (2, 5), (2, 5), (3, 5)]

    def test_mixtures_need_all_phases_for_that(self):
        scores = self.scores(*(row(*ranks, kind="mixture") for ranks in ((1, 2), (1, 0), (3, 5), (0, 0), (2, 7))))
        assert scores["mixture", "top-1"] == (2, 5)
        assert scores["mixture", "top-2"] == (3, 5)
        assert scores["mixture", "all phases in top-5"] == (2, 5)

    def test_right_and_named(self):
        scores = self.scores(row(1), row(1, verdict="ambiguous"), row(1, verdict="unknown"), row(2))
        assert scores["mof", "right and named (match or ambiguous)"] == (2, 3)
        scores = self.scores(row(0, 1, kind="mixture"), row(1, 2, kind="mixture", verdict="unknown"))
        assert scores["mixture", "right and named (match or ambiguous)"] == (1, 2)

    def test_unknowns_and_blanks(self):
        scores = self.scores(row(kind="unknown", verdict="unknown"), row(kind="unknown"), row(kind="blank", verdict="unusable"))
        assert scores["unknown", "unknown"] == (1, 2)
        assert scores["unknown", "unusable"] == (0, 2)
        assert scores["blank", "unusable"] == (1, 1)
        assert ("unknown", "top-1") not in scores

    def test_kinds_stand_apart_in_their_order(self):
        kinds = [score.kind for score in Evaluation([row(1, kind="b"), row(1, kind="a"), row(0, kind="b")]).scores()]
        assert list(dict.fromkeys(kinds)) == ["b", "a"]
        assert Evaluation([]).scores() == []

    def test_json(self):
        data = json.loads(json.dumps(Evaluation([row(1), row(0)]).to_json(), allow_nan=False))
        first = data["scores"][0]
        assert (first["what"], first["right"], first["total"]) == ("top-1", 1, 2)
        assert first["interval"] == [round(bound, 4) for bound in Score("mof", "top-1", 1, 2).interval]
        assert len(data["files"]) == 2


def test_files_that_cannot_be_read_count_as_wrong(identifier, labels):
    steps = []
    result = evaluate(labels, identifier, progress=steps.append)
    assert [one.file for one in result.rows] == ["mof/a.xy", "mof/b.xy", "mof/broken.raw", "mof/gone.xy"]
    assert sum(steps) == 4
    assert result.rows[0].ranks == (1,)
    assert result.rows[1].first == "ZIF-8"
    assert result.rows[1].ranks[0] > 1  # the label accepts something else
    for one, name in zip(result.rows[2:], ("broken.raw", "gone.xy"), strict=True):
        assert one.verdict == "error"
        assert name in one.reason
        assert one.ranks == (0,)
    assert result.scores()[0].right == 1
    assert result.scores()[0].total == 4


def test_a_place_that_cannot_be_written_is_told_before_the_work(monkeypatch, run, labels, tiny_model, tmp_path):
    monkeypatch.setattr("xrdmatch.evaluation.labelled_scans.evaluate", lambda *_: pytest.fail("it worked for nothing"))
    code, _, err = run("evaluate", labels, "--model", tiny_model, "-o", tmp_path / "gone" / "a.txt")
    assert (code, "cannot be written" in " ".join(err.split())) == (1, True)


def test_join_puts_structures_in_for_one_run(run, tmp_path, tiny_model):
    import made

    from xrdmatch.diffraction.structure import parse
    from xrdmatch.library.build import entry_of
    from xrdmatch.library.reference_library import Library

    atoms = ["Zn1 Zn 0 0 0", "O1 O 0.2 0 0", "C1 C 0.3 0.1 0", "C2 C 0.5 0.5 0.1"]
    text = cifs.cif(atoms, (14.1, 14.1, 14.1, 90, 90, 90))
    (tmp_path / "NEWMOF.cif").write_text(text)
    alone = Library.from_entries([entry_of(parse(text.encode(), "NEWMOF.cif"))])
    pattern = made.scan(alone, 0)
    (tmp_path / "new.xy").write_text("".join(f"{x:.2f} {y:.0f}\n" for x, y in zip(pattern.two_theta, pattern.intensity, strict=True)))
    (tmp_path / "labels.csv").write_text("file,label,accepted,wavelength,kind\nnew.xy,new,NEWMOF,1.541871,mof\n")
    before = {path.name: path.read_bytes() for path in tiny_model.iterdir()}
    asked = ("evaluate", tmp_path / "labels.csv", "--model", tiny_model, "--format", "json")
    code, out, _ = run(*asked)
    assert code == 0
    assert json.loads(out)["scores"][0]["right"] == 0
    code, out, _ = run(*asked, "--join", tmp_path / "NEWMOF.cif")
    assert code == 0
    data = json.loads(out)
    assert data["scores"][0]["right"] == 1
    assert data["files"][0]["first"] == "C2OZn, NEWMOF"
    assert {path.name: path.read_bytes() for path in tiny_model.iterdir()} == before
    (tmp_path / "bad.cif").write_text("data_bad\n_cell_length_a 3\n")
    code, _, err = run(*asked, "--join", tmp_path / "bad.cif")
    assert code == 1
    assert "bad.cif" in err
