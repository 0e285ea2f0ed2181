"""Tables give what their cells say, by hand; what is no table is refused with file and line."""

from pathlib import Path

import numpy as np
import pytest

from zoo import splits
from zoo.data import DataRef, fingerprint
from zoo.readers import spool
from zoo.readers.tables import columns, files
from zoo.readers.tables.columns import Moments
from zoo.readers.tables.files import CsvFiles
from zoo.readers.tables.words import Bytes

TRAIN = "width,kind,height\n1,b,10\n3,a,10\n5,b,40\n"
TEST = "kind,height,width\na,20,2\n"


@pytest.fixture
def table(tmp_path):
    """Writes both files and says how they are read."""

    def write(train=TRAIN, test=TEST, target="kind", suffix=".csv", encoding="utf-8", **options):
        for name, text in (("train", train), ("test", test)):
            raw = text if isinstance(text, bytes) else text.encode(encoding)
            (tmp_path / f"{name}{suffix}").write_bytes(raw)
        return CsvFiles(tmp_path / f"train{suffix}", tmp_path / f"test{suffix}", target, **options)

    return write


def rows(split, count=None):
    return split.batch(np.arange(count or len(split)))


def test_numbers_are_standardized_by_the_training_split(table):
    data = table().read(None)
    inputs, targets = rows(data.train)
    # width: mean 3, std sqrt(8/3); height: mean 20, std sqrt(200)
    wide, high = np.sqrt(8 / 3), np.sqrt(200)
    wanted = [[-2 / wide, -10 / high], [0, -10 / high], [2 / wide, 20 / high]]
    np.testing.assert_allclose(inputs["input"], wanted, rtol=1e-6)
    assert inputs["input"].dtype == np.float32
    assert (targets.tolist(), data.labels, data.metric) == ([1, 0, 1], ("a", "b"), "top1")
    # the test file has its columns in another order
    inputs, targets = rows(data.test)
    np.testing.assert_allclose(inputs["input"], [[-1 / wide, 0]], rtol=1e-6, atol=1e-7)
    assert targets.tolist() == [0]


def test_columns_keep_the_order_in_which_they_are_named(table):
    data = table(columns=("height", "width"), standardize=False).read(None)
    assert rows(data.train)[0]["input"].tolist() == [[10, 1], [10, 3], [40, 5]]


def test_large_numbers_lose_nothing_before_they_are_standardized(table):
    base = 1_700_000_000_000
    train = "t,y\n" + "".join(f"{base + i},{i % 2}\n" for i in range(4))
    data = table(train, train, "y").read(None)
    np.testing.assert_allclose(rows(data.train)[0]["input"][:, 0], (np.arange(4) - 1.5) / np.sqrt(1.25), rtol=1e-4)


def test_a_column_that_never_changes_is_centered(table):
    data = table("a,b,y\n5,1,0\n5,2,1\n", "a,b,y\n6,1,0\n", "y").read(None)
    assert rows(data.train)[0]["input"].tolist() == [[0, -1], [0, 1]]
    assert rows(data.test)[0]["input"].tolist() == [[1, -1]]


def test_moments_do_not_depend_on_how_the_rows_come():
    values = np.random.default_rng(0).normal(1e6, 3, (100, 2))
    found = Moments(2)
    for start in range(0, 100, 7):
        found.add(values[start : start + 7])
    wanted = (values - values.mean(0)) / values.std(0)
    np.testing.assert_allclose(found.standardize(values), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("cells", "metric", "wanted", "kind"),
    [
        ("0 2 1", None, [0, 2, 1], "top1"),
        ("1 2 2", None, [1, 2, 2], "top1"),
        ("0.5 2 1", None, [0.5, 2, 1], "negative-mse"),
        ("3 2 1", "mse", [3.0, 2.0, 1.0], "mse"),
        ("1.0 0.0 1.0", "top1", [1, 0, 1], "top1"),
        ("yes no yes", None, [1, 0, 1], "top1"),
        ("1 x 1", None, [0, 1, 0], "top1"),
        ("True False True", None, [1, 0, 1], "top1"),
        ("1e3 -2 0", None, [1000, -2, 0], "negative-mse"),
    ],
)
def test_targets_are_what_their_cells_say(table, cells, metric, wanted, kind):
    text = "x,y\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells.split()))
    data = table(text, text, "y").read(metric)
    assert rows(data.test)[1].tolist() == wanted
    assert data.metric == kind
    assert rows(data.test)[1].dtype == (np.int64 if kind == "top1" else np.float32)


def test_words_are_numbered_by_how_common_they_are(table):
    train = 'text,y\n"The cat, the dog",0\n"a DOG; the_end",1\nthe,1\n'
    data = table(train, "text,y\nthe dog unseen cat.,0\n", "y", text="text", length=5, lengths=True, vocabulary=6).read(None)
    inputs, _ = rows(data.train)
    # the 3, dog 2, then by the alphabet: a, cat; the_end has no place left
    assert inputs["tokens"].tolist() == [[2, 5, 2, 3, 0], [4, 3, 1, 0, 0], [2, 0, 0, 0, 0]]
    assert inputs["lengths"].tolist() == [4, 3, 1]
    assert rows(data.test)[0]["tokens"].tolist() == [[2, 3, 1, 5, 0]]
    assert [spec.name for spec in data.inputs] == ["tokens", "lengths"]
    assert all(spec.dtype == "int64" for spec in data.inputs)


def test_long_texts_are_cut_and_empty_ones_are_padding(table):
    data = table("text,y\na b c d,0\n,1\n", "text,y\n!,0\n", "y", text="text", length=2, lengths=True).read(None)
    assert rows(data.train)[0]["tokens"].tolist() == [[2, 3], [0, 0]]
    assert rows(data.train)[0]["lengths"].tolist() == [2, 0]
    assert rows(data.test)[0]["tokens"].tolist() == [[0, 0]]


def test_words_of_every_script_count(table):
    data = table("text,y\nÜber straße 東京,0\nüber,1\n", "text,y\nÜBER,0\n", "y", text="text", length=3).read(None)
    assert rows(data.train)[0]["tokens"].tolist() == [[2, 3, 4], [2, 0, 0]]
    assert rows(data.test)[0]["tokens"].tolist() == [[2, 0, 0]]


def test_bytes_are_their_value_and_two(table):
    data = table("text,y\naé,0\nb,1\n", "text,y\nc,0\n", "y", text="text", tokens="bytes", length=4).read(None)
    assert rows(data.train)[0]["tokens"].tolist() == [[99, 0xC3 + 2, 0xA9 + 2, 0], [100, 0, 0, 0]]
    assert Bytes().of("\xff\x00") == [0xC3 + 2, 0xBF + 2, 2]


def test_text_and_numbers_are_two_inputs(table):
    text = "text,n,y\nhello,1,0\nworld,3,1\n"
    data = table(text, text, "y", text="text", columns=("n",), length=2).read(None)
    inputs, _ = rows(data.train)
    assert inputs["input"].tolist() == [[-1], [1]]
    assert inputs["tokens"].tolist() == [[2, 0], [3, 0]]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_what_the_header_has_most_of(table, separator):
    text = TRAIN.replace(",", separator)
    assert rows(table(text, TEST.replace(",", separator)).read(None).train)[1].tolist() == [1, 0, 1]


def test_a_tsv_is_separated_by_tabs_whatever_its_header_holds(table):
    text = "a,b,c,d\ty\n1\t0\n2\t1\n"
    data = table(text, text, "y", suffix=".tsv", standardize=False).read(None)
    assert rows(data.train)[0]["input"].tolist() == [[1], [2]]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("\n", "\n\n"),
        lambda text: text.replace("kind", '"kind"').replace(",b,", ',"b",'),
        lambda text: text.replace("width", " width "),
        lambda text: text.replace(",10", ", 10 "),
    ],
    ids=["bom", "crlf", "no-last-newline", "empty-lines", "quoted", "spaces-in-header", "spaces"],
)
def test_what_programs_write_is_the_same_table(table, change):
    wanted, found = (table(train).read(None) for train in (TRAIN, change(TRAIN)))
    np.testing.assert_array_equal(rows(found.train)[0]["input"], rows(wanted.train)[0]["input"])
    assert found.labels == wanted.labels


def test_quotes_enclose_separators_quotes_and_new_lines(table, refused):
    train = 'text,y\n"one, ""two""\nthree",0\nfour,1\nx,bad,1\n'
    with_error = table(train, train, "y", text="text", length=4)
    refused(lambda: with_error.read(None), "train.csv line 5 has 3 values", "2 columns")
    train = train.replace("x,bad,1\n", "")
    data = table(train, train, "y", text="text", length=4).read(None)
    # equally common words are numbered by the alphabet: four, one, three, two
    assert rows(data.train)[0]["tokens"].tolist() == [[3, 5, 4, 0], [2, 0, 0, 0]]


def test_without_quotes_a_quote_is_a_character(table, refused):
    train = 'text\ty\n"one\t0\ntwo\t1\n'
    refused(lambda: table(train, train, "y", suffix=".tsv", text="text").read(None), "line 2", "quotes: false")
    data = table(train, train, "y", suffix=".tsv", text="text", quotes=False, length=1).read(None)
    assert rows(data.train)[0]["tokens"].tolist() == [[2], [3]]


def test_without_a_header_columns_are_counted(table, refused):
    data = table("1,0\n2,1\n", "3,1\n", "1", header=False, standardize=False).read(None)
    assert rows(data.test)[0]["input"].tolist() == [[3]]
    refused(lambda: table("1,0\n2,1\n", "3,1\n", "2", header=False).read(None), "no column '2'", "0, 1, ...")


@pytest.mark.parametrize(
    ("train", "test", "options", "words"),
    [
        (TRAIN.replace("3,a", ",a"), TEST, {}, ["train.csv line 3", "'width'", "empty"]),
        (TRAIN.replace("3,a", "nan,a"), TEST, {}, ["train.csv line 3", "'width'", "'nan'"]),
        (TRAIN.replace("3,a", "inf,a"), TEST, {}, ["line 3", "'inf'"]),
        (TRAIN.replace("3,a", "1_0,a"), TEST, {}, ["line 3", "'1_0'"]),
        (TRAIN, TEST.replace("20", "many"), {}, ["test.csv line 2", "'height'", "'many'"]),
        (TRAIN.replace("3,a,10", "3,a"), TEST, {}, ["train.csv line 3 has 2 values", "3 columns"]),
        (TRAIN.replace("3,a", "3,"), TEST, {}, ["train.csv line 3", "'kind'", "target"]),
        (TRAIN, TEST.replace("a,", "c,"), {}, ["test.csv line 2", "'c'", "training"]),
        (TRAIN, TEST, {"target": "knid"}, ["no column 'knid'", "'kind'"]),
        (TRAIN, TEST, {"columns": ("widht",)}, ["no column 'widht'", "'width'"]),
        (TRAIN, TEST.replace("width", "breadth"), {}, ["test.csv", "no column 'width'"]),
        (TRAIN.replace("height", "width"), TEST, {}, ["two columns 'width'"]),
        (TRAIN, "kind,height,width\n", {}, ["test.csv has no rows"]),
        ("", TEST, {}, ["train.csv is empty"]),
        (TRAIN, "\n\n", {}, ["test.csv is empty"]),
        ("kind\na\n", "kind\na\n", {}, ["no column but the target"]),
        (TRAIN.encode().replace(b"3,a", b"3,\xe9"), TEST, {}, ["train.csv line 3", "UTF-8"]),
        (TRAIN.encode("utf-16"), TEST, {}, ["train.csv line 1", "UTF-8"]),
        (TRAIN + '"', TEST, {}, ["line 5", "quotes: false"]),
        (TRAIN + '"x"y,a,3', TEST, {}, ["line 5"]),
        ("x,kind\n" + "1" * 200_000 + ",a\n", TEST, {}, ["line 2", "field"]),
    ],
    ids=lambda value: None,
)
def test_malformed_tables_are_refused_with_file_and_line(table, refused, train, test, options, words):
    refused(lambda: table(train, test, **options).read(None), *words)


def test_a_file_that_is_not_there_is_named(table, refused, tmp_path):
    given = table()
    (tmp_path / "test.csv").unlink()
    refused(lambda: given.read(None), str(tmp_path / "test.csv"))
    refused(lambda: fingerprint(DataRef(source=given)), str(tmp_path / "test.csv"))


def test_text_as_target_of_a_metric_of_values_is_refused(table, refused):
    refused(lambda: table().read("mse"), "'kind'", "'a'", "'mse'")


def test_whole_numbers_in_training_and_fractions_in_the_test_are_refused(table, refused):
    refused(lambda: table("x,y\n1,0\n2,1\n", "x,y\n1,0.5\n", "y").read(None), "test.csv line 2", "'0.5'")


def test_texts_that_are_no_classes_are_refused(table, refused, monkeypatch):
    monkeypatch.setattr(columns, "MOST_CLASSES", 3)
    text = "x,y\n" + "".join(f"{i},v{i}\n" for i in range(6))
    refused(lambda: table(text, text, "y").read(None), "line 5", "no classes")
    numbers = "x,y\n" + "".join(f"{i},{i}.5\n" for i in range(6))
    assert rows(table(numbers, numbers, "y").read(None).train)[1].tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]


def test_a_large_table_is_kept_in_a_file_and_reads_the_same(table, monkeypatch):
    text = "a,b,y\n" + "".join(f"{i},{i * i},{i % 3}\n" for i in range(500))
    small = table(text, text, "y").read(None)
    monkeypatch.setattr(spool, "IN_MEMORY", 1000)
    monkeypatch.setattr(files, "AT_ONCE", 64)
    large = table(text, text, "y").read(None)
    assert isinstance(large.train.inputs["input"], np.memmap)
    np.testing.assert_allclose(rows(large.train)[0]["input"], rows(small.train)[0]["input"], rtol=1e-6)
    np.testing.assert_array_equal(rows(large.train)[1], rows(small.train)[1])


def test_settings_are_in_the_fingerprint(table):
    prints = {
        fingerprint(DataRef(source=table(**options))) for options in ({}, {"standardize": False}, {"columns": ("width",)})
    }
    assert len(prints) == 3
    assert splits.IN_MEMORY > 1000


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "train", "counts", "labels"),
    [
        ("sst2", "train", (6920, 1821), ("0", "1")),
        ("agnews", "dev", (10001, 7600), ("Business", "Sci/Tech", "Sports", "World")),
    ],
)
def test_the_real_sets_are_read_as_they_lie_there(name, train, counts, labels, monkeypatch):
    import os

    folder = Path(os.environ["TIGHTSHIP_DATA"]) / name
    data = CsvFiles(folder / f"{train}.tsv", folder / "test.tsv", "1", text="0", header=False).read(None)
    assert (len(data.train), len(data.test)) == counts
    assert data.labels == labels
    tokens, targets = rows(data.test)
    assert tokens["tokens"].shape == (counts[1], 64)
    # less than a tenth of the test's words are unknown
    assert (tokens["tokens"] == 1).sum() < 0.1 * (tokens["tokens"] > 0).sum()
    assert np.bincount(targets).min() > 900


def test_the_encoding_makes_the_same_inputs_again(table):
    import json
    import re

    train = "text,n,y\nThe cat,1,0\na dog the,4,1\n"
    data = table(train, train, "y", text="text", columns=("n",), length=3).read(None)
    told = json.loads(json.dumps(data.encoding))
    numbers = {word: number for number, word in enumerate(told["tokens"]["words"], told["tokens"]["first"])}
    inputs, _ = rows(data.train)
    for row, (text, n) in enumerate((("The cat", 1), ("a dog the", 4))):
        words = re.findall(told["tokens"]["pattern"], text.lower())
        tokens = [numbers.get(word, told["tokens"]["unknown"]) for word in words] + [told["tokens"]["padding"]] * 3
        assert inputs["tokens"][row].tolist() == tokens[: told["tokens"]["length"]]
        assert inputs["input"][row, 0] == pytest.approx((n - told["input"]["mean"][0]) / told["input"]["std"][0])
    assert told["input"]["columns"] == ["n"]
    assert table(standardize=False).read(None).encoding == {"input": {"columns": ["width", "height"]}}
