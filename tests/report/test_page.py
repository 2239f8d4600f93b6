"""The files that the report writes: whole, alone, alike, and in both themes."""

import csv
import io
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import TemplateNotFound

from lra_fnet.report import figures
from lra_fnet.report import page as page_module
from lra_fnet.report.accuracy import pool
from lra_fnet.report.documents import MARK, with_tables
from lra_fnet.report.figures import Plot, Series, drawn
from lra_fnet.report.load import load
from lra_fnet.report.page import (
    markdown,
    read_report,
    tradeoff_panels,
    write_report,
)
from lra_fnet.report.statistics import compare
from made_results import made, made_speed, write, write_made, write_speed
from tasks import task_title

ROOT = Path(__file__).parent.parent.parent
PAGES = [
    "README.md",
    "docs/language.md",
    "docs/results.md",
]  # those that `make docs` fills in


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Two mixers on two tasks with speeds, and a quick result."""
    root = tmp_path_factory.mktemp("results")
    for mixer, right in (("fnet", 3), ("transformer", 2)):
        for task in ("listops", "image"):
            for seed in range(2):
                correct = [1] * right + [0] * (6 - right)
                write_made(root, task=task, mixer=mixer, seed=seed, correct=correct)
        for length in (512, 1024):
            write_speed(root, made_speed(mixer, length, 1024 / length))
    write_made(root, recipe="quick")
    return root


@pytest.fixture(scope="module")
def written(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    assert write_report([str(results)], folder) == 0
    return folder


@pytest.fixture(scope="module")
def html(written):
    return (written / "index.html").read_text()


def test_the_report_is_a_page_a_figure_three_tables_and_nothing_else(written):
    assert sorted(path.name for path in written.iterdir()) == [
        "index.html",
        "overview.svg",
        "results.csv",
        "table.csv",
        "table.md",
        "tradeoff.svg",
    ]


def test_the_same_files_give_the_same_bytes(results, written, tmp_path):
    write_report([str(results)], tmp_path)
    for path in written.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_a_report_that_cannot_be_made_leaves_the_old_one(
    results, tmp_path, monkeypatch
):
    old = {"index.html": "old page", "table.md": "old table", "table.csv": "old lines"}
    for name, text in old.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(page_module, "PAGE", "missing.html")
    with pytest.raises(TemplateNotFound):
        write_report([str(results)], tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == old


def test_a_report_needs_neither_jax_nor_pyplot(tmp_path):
    write_made(tmp_path)
    program = (
        "import sys; from pathlib import Path; "
        "from lra_fnet.report.page import write_report; "
        f"write_report([{str(tmp_path)!r}], Path({str(tmp_path)!r})); "
        "print(*sys.modules, sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    forbidden = {"jax", "flax", "tensorflow", "matplotlib.pyplot"}
    assert not forbidden & set(done.stdout.split())


class Tags(HTMLParser):
    """The elements of a page that are open; an error where one is closed wrongly."""

    EMPTY = frozenset(("meta", "link", "br", "path", "use", "rect", "circle"))

    def __init__(self, text):
        super().__init__()
        self.open = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if tag not in self.EMPTY:
            assert self.open.pop() == tag


def test_every_element_is_closed_where_it_was_opened(html):
    assert html.startswith("<!doctype html>")
    assert Tags(html).open == []


def test_the_page_asks_nothing_of_any_network(html):
    links = re.findall(r'<a href="(https://arxiv\.org/[^"]*)"', html)
    without = re.sub(r'<a href="https://arxiv\.org/[^"]*"', "", html)
    without = re.sub(r'xmlns(:xlink)?="http://www\.w3\.org/[^"]*"', "", without)
    assert links and "://" not in without
    assert "Content-Security-Policy" in html and "default-src 'none'" in html
    assert not re.search(r"<script|@import|<img|<iframe|<object|\ssrc=", html)
    assert set(re.findall(r"url\((.)", html)) == {"#"}
    assert set(re.findall(r'<link [^>]*href="([^"]*)"', html)) == {"data:,"}


def test_the_overview_names_every_mixer_task_and_best_baseline(written):
    overview = (written / "overview.svg").read_text()
    assert overview.count("<svg") == 1
    for name in ("fnet", "transformer", "ListOps", "test accuracy, %", "dashed: "):
        assert f">{name}" in overview


def test_the_tradeoff_names_every_mixer_that_has_accuracy_and_speed(written):
    figure = (written / "tradeoff.svg").read_text()
    for name in ("fnet", "transformer", "Image", "speed-up over transformer"):
        assert f">{name}" in figure
    assert ">ListOps" not in figure  # no speeds at its length


def test_ids_are_unique_and_what_is_referred_to_is_there(html):
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    referred = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', html)
    assert {name for names in referred for name in names if name} <= set(ids)


def test_figures_have_a_role_a_title_and_text_that_is_text(html):
    found = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert len(found) >= 8
    for figure in found:
        assert re.match(r'<svg role="img" aria-label="[^"]+" ', figure)
        assert "<text" in figure and "fnet</text>" in figure


def luminance(rgb):
    """Return the relative luminance of WCAG 2 of a color, each part in [0, 1]."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first, second):
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def rgb(color):
    return [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def dark(color):
    """Return a color after invert(1) hue-rotate(180deg): Filter Effects, 8.1.5."""
    rows = (-0.574, 1.43, 0.144), (0.426, 0.43, 0.144), (0.426, 1.43, -0.856)
    inverted = [1 - c for c in rgb(color)]
    turned = (sum(a * c for a, c in zip(r, inverted, strict=True)) for r in rows)
    return [min(1.0, max(0.0, c)) for c in turned]


def test_figures_can_be_read_in_both_themes_and_in_print(html):
    style = re.search(r"<style>(.*?)</style>", html, flags=re.DOTALL)[1]
    papers = re.findall(r"--paper: (#[0-9a-f]{6})", style)
    assert len(papers) == 3  # light, dark, and dark in print
    rule = re.search(r"@media ([^{]*) \{\s*figure svg \{ filter: (.*?); \}", style)
    assert rule.groups() == (
        "screen and (prefers-color-scheme: dark)",
        "invert(1) hue-rotate(180deg)",
    )
    for color in (*figures.COLORS, figures.INK, figures.MUTED):
        assert contrast(rgb(color), rgb(papers[0])) >= 4.5
        assert contrast(dark(color), rgb(papers[1])) >= 4.5


def test_sections_are_in_order_and_the_findings_come_first(html):
    anchors = re.findall(r'<section id="([\w-]+)"', html)
    assert anchors == [
        "accuracy",
        "speed",
        "learning",
        "repeat",
        "not-comparable",
        "published",
    ]
    assert html.index("Too few seeds to tell fnet (50.0 %)") < html.index(
        '<section id="acc'
    )
    quick = html.index("Recipe quick")
    assert quick > html.index('<section id="not-comparable"')


def test_each_run_has_what_repeats_it(html):
    for seed in range(2):
        command = f"make task=image mixer=fnet recipe=lra2020 seed={seed}"
        assert command in html
    result, _ = made(task="image")
    for value in (result["config_hash"], "Abacus, 2 cores", "c0ffeec0ffee", "jax "):
        assert value in html


def test_names_from_files_cannot_become_markup(tmp_path):
    write(tmp_path, *made(mixer="<b>&theirs</b>"))
    write_report([str(tmp_path)], tmp_path / "report")
    text = (tmp_path / "report" / "index.html").read_text()
    assert "<b>" not in text and "&lt;b&gt;&amp;theirs&lt;/b&gt;" in text


def test_csv_has_a_row_for_each_configuration_and_baseline(written):
    lines = [*csv.DictReader(io.StringIO((written / "table.csv").read_text()))]
    found = [line for line in lines if line["status"] == "comparable"]
    assert len(found) == 5
    best = next(c for c in found if (c["mixer"], c["task"]) == ("fnet", "image"))
    assert (float(best["mean"]), best["seeds"], best["rank"]) == (0.5, "0 1", "1")
    assert float(best["difference"]) == pytest.approx(0.5 - 0.3867)
    baselines = {x["mixer"] for x in lines if x["status"] == "trivial baseline"}
    assert baselines == {"majority class"}


def test_markdown_says_the_same_as_the_page(written, html):
    text = (written / "table.md").read_text()
    assert "| fnet " in text and "50.0 [" in text and "38.67, +11.3" in text
    findings = re.findall(r"^- (Too few .*)$", text, flags=re.M)
    assert len(findings) == 2
    for line in findings:
        assert line in html
    assert "\n\n\n" not in text


def test_a_report_of_nothing_says_how_to_begin(tmp_path):
    (tmp_path / "runs").mkdir()
    assert write_report([str(tmp_path / "runs")], tmp_path) == 0
    assert "There is no result yet" in (tmp_path / "index.html").read_text()


def test_one_plot_is_one_drawing_and_lines_are_told_apart_without_color():
    names = [f"row{i}" for i in range(12)]
    plot = Plot(
        "A < B", "x", "y", [Series(n, [1, 2], [i, i]) for i, n in enumerate(names)]
    )
    svg = drawn(plot, names, "p")
    assert svg == drawn(plot, names, "p")
    assert 'aria-label="A &lt; B"' in svg
    styles = re.findall(r"stroke-dasharray: ([\d., ]+).*?stroke: (#\w{6})", svg)
    assert len(set(styles)) == 4  # the ninth to the twelfth


def test_a_figure_has_no_more_lines_and_bands_than_it_has_room_for():
    names = [f"row{i}" for i in range(14)]
    lines = [Series(name, [1], [2], [1], [3]) for name in reversed(names)]
    few = figures.limited(Plot("t", "x", "y", lines[:4]), names, "The band.")
    assert few.note == "The band." and few.series[0].low == [1]
    many = figures.limited(Plot("t", "x", "y", lines), names, "The band.")
    assert [line.name for line in many.series] == names[:12]
    assert many.note == "Not drawn, to keep it readable: row12, row13."
    assert not many.series[0].low


# ---------------------------------------------------------------------------
# What the documentation shows of results/


@pytest.fixture(scope="module")
def kept():
    return read_report([ROOT / "results"])


@pytest.mark.parametrize("page", PAGES)
def test_the_tables_in_the_documentation_are_those_of_the_results_kept(kept, page):
    shown = (ROOT / page).read_text()
    assert re.search(f"<!-- ({MARK}) -->.*<!-- end -->", shown, re.DOTALL)
    assert shown == with_tables(shown, kept.tables, kept.speeds), "run make docs"


def test_every_table_of_speed_is_in_the_documentation(kept):
    shown = "".join((ROOT / page).read_text() for page in PAGES)
    for table in kept.speeds:
        assert f"<!-- speed {table.rows['task'].iloc[0]} -->" in shown
    assert f"<!-- accuracy {kept.lead.recipe} -->" in shown


def test_a_document_gets_the_tables_that_its_marks_name(tmp_path):
    write_made(tmp_path, mixer="fnet")
    write_made(tmp_path, mixer="cnn", seed=0)
    write_made(tmp_path, mixer="cnn", seed=1)
    report = read_report([tmp_path])
    recipe = report.lead.recipe
    text = f"Before.\n\n<!-- accuracy {recipe} -->\nold\n<!-- end -->\n\nAfter.\n"
    filled = with_tables(text, report.tables, report.speeds)
    assert filled.startswith("Before.\n") and filled.endswith(
        "<!-- end -->\n\nAfter.\n"
    )
    assert "| cnn " in filled and "2 seeds" in filled and "old" not in filled
    assert filled == with_tables(filled, report.tables, report.speeds)
    with pytest.raises(
        ValueError, match=f"accuracy none -->; have: accuracy {recipe}, f"
    ):
        with_tables("<!-- accuracy none --><!-- end -->", report.tables, [])
    with pytest.raises(ValueError, match="<!-- speed text -->; have: fields"):
        with_tables("<!-- speed text --><!-- end -->", [], [])


def test_a_table_in_a_document_leaves_out_what_was_run_on_one_task_of_several(tmp_path):
    for task, mixer in (("listops", "fnet"), ("text", "fnet"), ("text", "cnn")):
        write_made(tmp_path, task=task, mixer=mixer)
    report = read_report([tmp_path])
    text = f"<!-- accuracy {report.lead.recipe} --><!-- end -->"
    filled = with_tables(text, report.tables, report.speeds)
    assert "| fnet " in filled and "| cnn " not in filled


def test_the_report_in_the_documentation_is_that_of_the_results_kept(kept):
    shown = (ROOT / "docs" / "report" / "table.md").read_text()
    assert shown == markdown(kept), "run make docs"
    figures_shown = {path.name for path in (ROOT / "docs" / "report").glob("*.svg")}
    wanted = {"overview.svg", *(["tradeoff.svg"] if tradeoff_panels(kept) else [])}
    assert figures_shown == wanted, "run make docs"


def pretraining_rows():
    """Yield the lines about each mixer that was pre-trained on Image."""
    runs = load([ROOT / "results" / "image"]).runs
    runs = runs[runs["config.encoder.inputs"] == "values"]
    found, _ = pool(runs[runs["recipe"] == "small"])
    of_row = {each.key[0]: each for each in found}
    for name, own in of_row.items():
        if not name.endswith(", pre-trained"):
            continue
        row = name.removesuffix(", pre-trained")
        change = compare(own.estimate, of_row[row].estimate)
        points = [change.difference, change.low, change.high]
        cells = [
            row,
            interval(of_row[row]),
            interval(own),
            "{:+.1f} [{:+.1f} to {:+.1f}]".format(*(100 * each for each in points)),
            f"{own.mean('pretraining.validation.loss'):.3f}",
        ]
        yield f"| {' | '.join(cells)} |"


def test_the_documentation_says_what_pretraining_brought():
    text = (ROOT / "docs" / "pretraining.md").read_text()
    rows = [*pretraining_rows()]
    assert rows
    for row in rows:
        assert row in text, row


def test_the_documentation_says_what_fnet_reaches_on_pixels_as_tokens():
    runs = load([ROOT / "results" / "image"]).runs
    runs = runs[(runs["recipe"] == "small") & (runs["mixer"] == "fnet")]
    (found,), _ = pool(runs[runs["config.encoder.inputs"] == "tokens"])
    mean, low, high = (
        f"{100 * share:.1f}"
        for share in (found.estimate.mean, found.estimate.low, found.estimate.high)
    )
    text = (ROOT / "docs" / "recipes.md").read_text()
    assert f"FNet has {mean} % of the test images right\n[{low} to {high}]" in text


def test_the_documentation_shows_what_beginning_from_a_restorer_brought():
    text = (ROOT / "docs" / "pretraining.md").read_text()
    tuned = load([ROOT / "results" / "text-256"]).runs
    restored = load([ROOT / "results" / "corpus-restored"]).runs
    found, _ = pool(tuned)
    of_row = {each.key[0]: each for each in found}
    for row in ("fnet, orthonormal", "transformer"):
        begun = next(each for name, each in of_row.items() if f"{row}, from" in name)
        (before,) = restored[restored["mixer"] == row.split(",")[0]].to_dict("records")
        share = before["pretraining.validation.accuracy"]
        cells = [row, f"{100 * share:.1f}", *map(interval, (begun, of_row[row]))]
        speed = begun.mean("speed.steps_per_second")
        assert f"| {' | '.join(cells)} | {speed:.1f} |" in text
        lost = compare(of_row[row].estimate, begun.estimate)
        points = [
            f"{100 * each:.1f}" for each in (lost.difference, lost.low, lost.high)
        ]
        assert re.search(rf"{points[0]}( points)?\s\[{points[1]} to {points[2]}", text)


def interval(found):
    low, mean, high = (
        f"{100 * getattr(found.estimate, name):.1f}" for name in ("low", "mean", "high")
    )
    return f"{mean} [{low} to {high}]"


@pytest.mark.parametrize(
    ("task", "recipe"), [("listops", "quick"), ("listops", "small"), ("text", "small")]
)
def test_the_documentation_says_what_experts_brought_fnet(task, recipe):
    runs = load([ROOT / "results" / task]).runs
    found, _ = pool(runs[runs["recipe"] == recipe])
    of_row = {each.key[0]: each for each in found}
    own, plain = of_row["fnet, 4 experts in 1 layer"], of_row["fnet"]
    change = compare(own.estimate, plain.estimate)
    points = [100 * each for each in (change.difference, change.low, change.high)]
    # Of the newest runs: earlier versions of the code counted otherwise.
    newest = [each.runs.sort_values("finished").iloc[-1] for each in (own, plain)]
    steps = [run["flops.train_step"] for run in newest]
    row = (
        f"{task_title(task)}, `{recipe}`",
        f"{len(own.seeds)} and {len(plain.seeds)}",
        *map(interval, (own, plain)),
        "{:+.1f} [{:+.1f} to {:+.1f}]".format(*points),
        f"{100 * (steps[0] / steps[1] - 1):.1f} % more",
    )
    text = " ".join((ROOT / "docs" / "experts.md").read_text().split())
    assert f"| {' | '.join(row)} |" in text, row
    for each in (own, plain):
        assert f"{each.get('parameters'):,}" in text
