"""The files that the report writes: whole, alone, alike, and in both themes."""

import csv
import io
import re
from pathlib import Path

import pytest
from jinja2 import TemplateNotFound

from lra_fnet.report import page as page_module
from lra_fnet.report.__main__ import main
from lra_fnet.report.figures import drawn
from lra_fnet.report.grids import Plot, Series
from lra_fnet.report.sources import read_sources
from lra_fnet.report.svg import COLOURS
from made_results import made, speed_cell, write, write_made, write_speed

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Two mixers on two tasks with speeds, and a quick result."""
    root = tmp_path_factory.mktemp("results")
    for model, right in (("fnet", 3), ("transformer", 2)):
        for task in ("listops", "image"):
            for seed in range(2):
                correct = [1] * right + [0] * (6 - right)
                write_made(root, task=task, model=model, seed=seed, correct=correct)
        for length in (512, 1024):
            write_speed(root, speed_cell(model, length, 1024 / length))
    write_made(root, recipe="quick")
    return root


@pytest.fixture(scope="module")
def written(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    main([f"--runs={results}", f"--to={folder}"])
    return folder


@pytest.fixture(scope="module")
def html(written):
    return (written / "index.html").read_text()


def test_the_report_is_a_page_and_two_tables_and_nothing_else(written):
    assert sorted(path.name for path in written.iterdir()) == [
        "index.html",
        "table.csv",
        "table.md",
    ]


def test_the_same_files_give_the_same_bytes(results, written, tmp_path):
    main([f"--runs={results}", f"--to={tmp_path}"])
    for path in written.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_a_report_that_cannot_be_made_leaves_the_old_one(
    results, tmp_path, monkeypatch
):
    old = {"index.html": "old page", "table.md": "old table", "table.csv": "old lines"}
    for name, text in old.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(page_module, "TEMPLATE", "missing.html")
    with pytest.raises(TemplateNotFound):
        main([f"--runs={results}", f"--to={tmp_path}"])
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == old


def test_the_page_asks_nothing_of_any_network(html):
    links = re.findall(r'<a href="(https://arxiv\.org/[^"]*)"', html)
    without = re.sub(r'<a href="https://arxiv\.org/[^"]*"', "", html)
    assert links and "://" not in without
    assert "Content-Security-Policy" in html and "default-src 'none'" in html
    assert not re.search(r"<script|@import|<img|<iframe|<object|\ssrc=", html)
    assert set(re.findall(r"url\((.)", html)) == {"#"}
    assert set(re.findall(r'<link [^>]*href="([^"]*)"', html)) == {"data:,"}


def test_ids_are_unique_and_what_is_referred_to_is_there(html):
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    referred = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)|labelledby="([^"]*)"', html)
    assert {name for names in referred for name in names if name} <= set(ids)


def test_figures_have_a_role_a_title_and_text_that_is_text(html):
    figures = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert len(figures) >= 8
    for figure in figures:
        assert re.match(r'<svg role="img" aria-labelledby="[^"]+"[^>]*><title', figure)
        assert "<text" in figure and "fnet</text>" in figure


def test_every_colour_of_a_figure_is_of_both_themes(html):
    style = re.search(r"<style>(.*?)</style>", html, flags=re.DOTALL)[1]
    themes = style.split("prefers-color-scheme: dark")
    assert len(themes) == 3  # light, dark, and dark in print
    figures = "".join(re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL))
    assert not re.search(r"#[0-9a-f]{6}\b", re.sub(r'(href="|url\()#\S*', "", figures))
    used = set(re.findall(r"var\((--[\w-]+)\)", figures)) - {"--font"}
    for theme in themes:
        assert {*used, *COLOURS.values()} <= set(re.findall(r"(--[\w-]+):", theme))


def test_sections_stand_in_order_and_what_won_comes_first(html):
    anchors = re.findall(r'<section id="(\w+)"', html)
    assert anchors == [
        "accuracy",
        "speed",
        "learning",
        "repeat",
        "apart",
        "published",
    ]
    assert html.index("are tied on ListOps: p = ") < html.index('<section id="acc')
    quick = html.index("Recipe quick")
    assert quick > html.index('<section id="apart"')


def test_each_cell_has_what_repeats_it(html):
    for seed in range(2):
        command = f"make task=image model=fnet recipe=lra2020 seed={seed}"
        assert command in html
    result, _ = made(task="image")
    for value in (result["config_hash"], "Abacus, 2 cores", "c0ffeec0ffee", "jax "):
        assert value in html


def test_names_from_files_cannot_become_markup(tmp_path):
    write(tmp_path, *made(model="<b>&theirs</b>"))
    main([f"--runs={tmp_path}", f"--to={tmp_path / 'report'}"])
    text = (tmp_path / "report" / "index.html").read_text()
    assert "<b>" not in text and "&lt;b&gt;&amp;theirs&lt;/b&gt;" in text


def test_csv_has_a_line_for_each_cell_and_reader(written):
    lines = [*csv.DictReader(io.StringIO((written / "table.csv").read_text()))]
    cells = [line for line in lines if line["status"] == "table"]
    assert len(cells) == 5
    best = next(c for c in cells if (c["mixer"], c["task"]) == ("fnet", "image"))
    assert (float(best["mean"]), best["seeds"], best["rank"]) == (0.5, "0 1", "1")
    assert float(best["difference"]) == pytest.approx(0.5 - 0.3867)
    assert {line["mixer"] for line in lines if line["status"] == "reader"} == {
        "answer by majority class"
    }


def test_markdown_says_the_same_as_the_page(written, html):
    text = (written / "table.md").read_text()
    assert "| fnet " in text and "50.0 [" in text and "38.67, +11.3" in text
    for line in re.findall(r"^- (.* (?:are tied on|wins) .*)$", text, flags=re.M):
        assert line in html


def test_a_report_of_nothing_says_how_to_begin(tmp_path):
    (tmp_path / "runs").mkdir()
    main([f"--runs={tmp_path / 'runs'}", f"--to={tmp_path}"])
    assert "There is no result yet" in (tmp_path / "index.html").read_text()


def test_one_plot_is_one_drawing_and_lines_are_told_apart_without_colour():
    names = [f"row{i}" for i in range(12)]
    lines = [Series(name, [1, 2], [i, i]) for i, name in enumerate(names)]
    plot = Plot("p", "A < B & C", "x", "y", lines)
    svg = drawn(plot, names)
    assert svg == drawn(plot, names)
    assert '<title id="p-title">A &lt; B &amp; C</title>' in svg
    styles = re.findall(
        r"stroke-dasharray: ([\d., ]+).*?stroke: var\((--series-\d)\)", svg
    )
    assert len(set(styles)) == 4  # the ninth to the twelfth


def test_the_projects_own_results_make_a_report_without_a_bad_file(tmp_path):
    folder = ROOT / "results"
    assert not read_sources([folder]).problems
    main([f"--runs={folder if folder.is_dir() else tmp_path}", f"--to={tmp_path}"])
    assert (tmp_path / "index.html").stat().st_size
