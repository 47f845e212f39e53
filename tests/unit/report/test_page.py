"""report.html: every number shown right, nothing from outside, safe with hostile data."""

import html.parser
import itertools
import re
import statistics
import xml.etree.ElementTree as ET

import pytest

from veil.errors import DataError

pytest.importorskip("jinja2")
pytest.importorskip("jsonschema")

from veil.report.model import Model
from veil.report.page import MAX_PAGE_BYTES, page

VOID = {"meta", "link", "br"}


class Page(html.parser.HTMLParser):
    """Elements with their attributes and text; fails on tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)
        self.close()
        assert self.open == [], "elements left open"

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "text": "", "inside": [e["tag"] for e in self.open], **dict(attrs)}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.elements.append({"tag": tag, "text": "", "inside": [], **dict(attrs)})

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, tag, class_=None):
        return [
            e
            for e in self.elements
            if e["tag"] == tag and (class_ is None or class_ in (e.get("class") or "").split())
        ]


@pytest.fixture(scope="module")
def text(example):
    return page(example)


@pytest.fixture(scope="module")
def parsed(text):
    return Page(text)


@pytest.fixture(scope="module")
def with_hybrid(make_study, example):
    """The study with a hybrid row beside DP-FedSGD."""
    methods = [
        (m["id"], m["kind"], m["label"], m["strategy"], m["epsilon"], 0.9)
        for m in example["methods"]
    ]
    epsilon = next(m["epsilon"] for m in example["methods"] if m["kind"] == "dp")
    row = (f"hybrid-{epsilon:g}", "dp", f"Hybrid, ε = {epsilon:g}", "fedavg", epsilon, 0.9)
    study = make_study(methods=[*methods, row])
    study["methods"][-1] |= {"aggregation": "secure", "trusted": "Nobody with a noiseless sum."}
    return study


def test_the_table_says_for_each_row_who_must_be_trusted_with_what(with_hybrid):
    cells = [e["text"] for e in Page(page(with_hybrid)).all("td", "words")]
    for method in with_hybrid["methods"]:
        assert f"Must be trusted: {method['trusted']}" in cells
    assert cells.count("Must be trusted: Nobody with a noiseless sum.") == 1


def test_the_hybrid_is_a_kind_of_its_own_and_on_no_curve(with_hybrid):
    model = Model(with_hybrid)
    (hybrid,) = model.of_kind("hybrid")
    assert all(hybrid.id != m.id for curve in model.curves() for m in curve)
    assert hybrid in model.per_site_methods()
    assert (hybrid.label, hybrid.id) in [(heading, m.id) for heading, m in model.protections()]


def svgs(text):
    return re.findall(r'<svg class="plot.*?</svg>', text, re.S)


def test_page_is_one_well_formed_file_below_the_limit(text, parsed):
    assert text.startswith("<!DOCTYPE html>")
    assert len(text.encode()) <= MAX_PAGE_BYTES == 1 << 20
    assert parsed.all("html")[0]["lang"] == "en"


def test_figures_are_well_formed_xml_with_text_as_text(text, example):
    drawings = [ET.fromstring(svg) for svg in svgs(text)]
    assert len(drawings) == 2 + len(example["dataset"]["sites"])
    for drawing in drawings:
        assert len(drawing.findall(".//text")) > 5


def test_page_loads_nothing_and_runs_nothing(text, parsed):
    assert parsed.all("script") == parsed.all("img") == parsed.all("iframe") == []
    for element in parsed.elements:
        assert not any(name.startswith("on") for name in element if name not in {"open"})
        assert "src" not in element
        assert element.get("href", "data:,") == "data:,"
    assert "url(" not in text
    assert "@import" not in text
    policy = next(e for e in parsed.all("meta") if "http-equiv" in e)["content"]
    assert "default-src 'none'" in policy


def test_colours_follow_the_readers_scheme(text):
    assert "prefers-color-scheme: dark" in text
    for svg in svgs(text):
        assert not re.search(r'(fill|stroke)="#', svg), "a colour outside the style sheet"


def test_page_has_one_main_heading_and_ordered_sections(parsed):
    levels = [int(e["tag"][1]) for e in parsed.elements if re.fullmatch("h[1-6]", e["tag"])]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))


def test_every_id_is_unique_and_every_reference_resolves(parsed):
    ids = [e["id"] for e in parsed.elements if "id" in e]
    assert len(ids) == len(set(ids))
    for element in parsed.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            assert set((element.get(name) or "").split()) <= set(ids)


def test_figures_have_captions_and_drawings_have_names_and_descriptions(parsed, text):
    assert len(parsed.all("figure")) == len(parsed.all("figcaption")) == 2
    for svg in svgs(text):
        root = ET.fromstring(svg)
        assert root.get("role") == "img"
        assert root.find("title").text
        assert "95 % interval" in root.find("desc").text


def test_every_header_cell_has_a_scope_and_every_table_a_name(parsed):
    assert all("scope" in cell for cell in parsed.all("th"))
    named = [t for t in parsed.all("table") if "aria-labelledby" in t]
    assert len(named) + len(parsed.all("caption")) == len(parsed.all("table"))


def cells(parsed, method):
    start = next(i for i, e in enumerate(parsed.elements) if e.get("data-method") == method)
    row = parsed.elements[start + 1 :]
    return [e["text"] for e in row if e["tag"] == "td"][:8]


def shown(summary, method, metric, scope):
    row = next(
        r for r in summary if (r["method"], r["metric"], r["scope"]) == (method, metric, scope)
    )
    return f"{row['mean']:.3f}", f"{row['low']:.3f}–{row['high']:.3f}"


def test_every_number_of_the_methods_table_is_the_results(text, example):
    table = Page(text[text.index('<tr data-method="') : text.index("</tbody>")])
    for method in example["methods"]:
        row = cells(table, method["id"])
        scopes = [(m, s) for m in ("auroc", "accuracy", "brier") for s in ("mean", "worst")]
        for cell, (metric, scope) in zip(row, scopes, strict=False):
            mean, spread = shown(example["summary"], method["id"], metric, scope)
            assert cell == mean + spread
        runs = [r for r in example["runs"] if r["method"] == method["id"]]
        moved = statistics.fmean(r["bytes_up"] + r["bytes_down"] for r in runs)
        assert row[6] == ("620 kB" if moved else "0 B")
        assert row[7] == f"{statistics.fmean(r['seconds'] for r in runs):#.2g} s"


def test_every_site_number_is_the_results(text, example):
    tail = text[text.index('id="numbers"') :]
    for row in example["summary"]:
        if row["scope"].startswith("site:"):
            assert f"<td>{row['mean']:.3f} ({row['low']:.3f}–{row['high']:.3f})</td>" in tail


def test_the_curve_puts_higher_auroc_higher_and_larger_epsilon_further_right(text, example):
    root = ET.fromstring(next(s for s in svgs(text) if "curve-worst" in s))
    dots = root.findall(".//circle[@class='dot']")
    x = [float(d.get("cx").rstrip("%")) for d in dots]
    y = [float(d.get("cy")) for d in dots]
    methods = [m for m in example["methods"] if m["kind"] == "dp"]
    means = [float(shown(example["summary"], m["id"], "auroc", "worst")[0]) for m in methods]
    assert len(dots) == len(methods)
    assert x == sorted(x)
    assert sorted(range(len(y)), key=lambda i: -y[i]) == sorted(
        range(len(means)), key=lambda i: means[i]
    )


def test_the_curve_has_a_line_for_each_method_without_epsilon(text):
    for name in ("curve-worst", "curve-mean"):
        root = ET.fromstring(next(s for s in svgs(text) if name in s))
        groups = [g.get("class") for g in root.findall("g") if "reference" in g.get("class")]
        assert groups == ["reference pooled", "reference federated", "reference local"]


def test_the_worst_site_of_each_method_is_marked_once(text, example):
    marked = re.findall(r'<g class="bar \w+ worst" data-method="([^"]+)"', text)
    assert sorted(marked) == sorted(m["id"] for m in example["methods"])


def test_a_bar_is_as_long_as_its_auroc_above_a_half(text, example):
    root = ET.fromstring(next(s for s in svgs(text) if "site-0-title" in s))
    row = next(
        r
        for r in example["summary"]
        if (r["method"], r["metric"], r["scope"]) == ("local", "auroc", "site:north")
    )
    width = root.find(".//g[@data-method='local']/rect").get("width")
    assert float(width.rstrip("%")) == pytest.approx(100 * (row["mean"] - 0.5) / 0.5, abs=0.01)


def test_what_is_protected_public_and_to_be_known_is_all_there(parsed, example):
    body = parsed.all("body")[0]["text"]
    for method in example["methods"]:
        for field in ("protects", "does_not_protect", "trusted"):
            assert method[field] in body
    privacy = example["privacy"]
    for sentence in [*privacy["statement"], *example["public"], *example["caveats"]]:
        assert sentence in body
    for value in (privacy["noise_note"], privacy["unit"], privacy["relation"], "1/(10 n)"):
        assert value in body


def test_certificates_and_ledgers_are_shown(parsed, example):
    body = parsed.all("body")[0]["text"]
    for words in ("Certificate of each ε", "after rounding", "2⁻¹³", "9.8e-27", "the sum on"):
        assert words in body
    tables = [table["text"] for table in parsed.all("table")]
    (charged,) = [text for text in tables if "What was charged" in text]
    for method in example["methods"]:
        assert (method["label"] in charged.replace("\u00a0", " ")) == (method["kind"] == "dp")
    for words in ("fixed in advance", "7.99998", "20.80"):
        assert words in charged
    assert "kept in memory" in body


def test_heads_of_durable_ledgers_are_shown(results):
    (run, *_) = [r for r in results["runs"] if "ledger" in r]
    run["ledger"]["head"] = "ab" * 32
    drawn = page(results)
    assert "ab" * 32 in drawn
    assert "kept in memory" not in drawn


def test_models_too_many_to_account_are_said_to_be(results):
    results["privacy"]["certificates"][0]["together"] = None
    assert "beyond account" in page(results)


def test_a_study_without_private_methods_has_no_ledger(make_study):
    plain = [("local", "local", "Local only", None, None, 0.9)]
    drawn = page(make_study(methods=plain))
    assert "The ledger" not in drawn
    assert "Certificate" not in drawn


def test_the_simulated_banner_is_shown_only_for_seeded_noise(results):
    assert "Simulated noise" in page(results)
    results["simulated"] = False
    assert "Simulated noise" not in page(results)


def test_the_same_results_give_the_same_page(text, example):
    assert page(example) == text


HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}\x00\u202e&amp;'" * 3


def poison(node, keep=()):
    if isinstance(node, dict):
        return {k: v if k in keep else poison(v, keep) for k, v in node.items()}
    if isinstance(node, list):
        return [poison(v, keep) for v in node]
    return HOSTILE if isinstance(node, str) else node


def test_hostile_text_everywhere_stays_text(results, make_study):
    hostile = make_study(sites=(HOSTILE, HOSTILE + "2", "</svg></style>"))
    kept = ("format", "created", "kind", "preprocessing", "relation", "scope", "metric", "method")
    for part in ("dataset", "methods", "privacy", "public", "caveats", "options", "task"):
        hostile[part] = poison(hostile[part], (*kept, "id", "population_is"))
    text = page(hostile)
    parsed = Page(text)
    assert parsed.all("script") == parsed.all("img") == []
    assert "\x00" not in text
    assert "\u202e" not in text
    assert "49" not in re.findall(r"<h1>(.*?)</h1>", text)[0], "a template in data was run"
    normal = Page(page(results))
    assert {e["tag"] for e in parsed.elements} == {e["tag"] for e in normal.elements}
    for svg in svgs(text):
        ET.fromstring(svg)


def test_hostile_method_names_stay_text(results):
    old = results["methods"][0]["id"]
    results["methods"][0].update(id=HOSTILE, label=HOSTILE)
    for row in [*results["runs"], *results["summary"]]:
        row["method"] = HOSTILE if row["method"] == old else row["method"]
    parsed = Page(page(results))
    assert parsed.all("script") == parsed.all("img") == []


def test_many_sites_keep_the_page_small_and_say_what_is_left_out(make_study):
    text = page(make_study(sites=tuple(f"site {i}" for i in range(250)), seeds=(0, 1)))
    assert len(text.encode()) <= MAX_PAGE_BYTES
    assert "The 220 sites that fare best are left out" in text
    assert "site 249" in text, "the site that fares worst is shown"


def test_many_epsilons_thin_out_the_bars_but_not_the_table(make_study):
    base = ("dp", "DP", "fedavg")
    grid = [(f"dp-{i}", base[0], f"DP {i}", base[2], float(i), 0.9) for i in range(1, 13)]
    local = ("local", "local", "Local only", None, None, 0.9)
    text = page(make_study(methods=(local, *grid), seeds=(0, 1)))
    assert len(re.findall(r'<tr data-method="', text)) == 13
    first = next(s for s in svgs(text) if "site-0-title" in s)
    assert re.findall(r'data-method="([^"]+)"', first) == [
        "local",
        *("dp-1", "dp-4", "dp-7", "dp-9", "dp-12"),
    ]


def test_a_page_beyond_the_limit_is_refused(results):
    results["caveats"] = [f"{i} " + "x" * 1900 for i in range(600)]
    with pytest.raises(DataError, match="at most 1048576 bytes"):
        page(results)


def test_missing_values_are_shown_as_missing(make_study, resummarise):
    results = make_study(seeds=(0,))
    for run in results["runs"]:
        for site in run["sites"].values():
            site["auroc"] = None
    results["summary"] = resummarise(results)
    text = page(results)
    assert "no AUROC can be compared" in text
    assert not re.search(r"\b(nan|None|inf)\b", text)


@pytest.mark.parametrize("auroc", [0.1, 0.32, 0.44, 0.49, 0.9])
def test_the_ticks_of_the_bars_never_touch(make_study, auroc):
    methods = (("local", "local", "Local only", None, None, auroc),)
    root = ET.fromstring(next(s for s in svgs(page(make_study(methods=methods))) if "site-0-" in s))
    places = [float(t.get("x").rstrip("%")) for t in root.findall("text[@class='tick']")]
    assert len(places) >= 2
    assert all(right - left > 20 for left, right in itertools.pairwise(places))


def test_a_site_whose_held_out_patients_are_of_one_class_is_explained(results, resummarise):
    for run in results["runs"]:
        run["sites"]["east"]["auroc"] = None
    results["summary"] = resummarise(results)
    text = page(results)
    assert text.count("No AUROC: the held-out patients of every seed are of one class") == 1
    assert len(svgs(text)) == 2 + len(results["dataset"]["sites"]) - 1
    assert text.index("<h3>east</h3>") < text.index("No AUROC") < text.index("<h3>south</h3>")


def test_a_study_without_private_methods_speaks_of_no_guarantee(make_study, example):
    methods = (
        ("local", "local", "Local only", None, None, 0.9),
        ("fedavg", "federated", "FedAvg", "fedavg", None, 0.95),
    )
    text = page(make_study(methods=methods))
    for said in ("Guarantee is per", "Parameters of the guarantee", "What privacy costs"):
        assert said in page(example)
        assert said not in text
    assert "What training together gains" in text


def test_auroc_below_guessing_is_drawn_to_the_left_of_a_half(make_study):
    methods = (("local", "local", "Local only", None, None, 0.32),)
    root = ET.fromstring(next(s for s in svgs(page(make_study(methods=methods))) if "site-0-" in s))
    rect = root.find(".//rect[@class='fill']")
    x, width = (float(rect.get(k).rstrip("%")) for k in ("x", "width"))
    ticks = {t.text: float(t.get("x").rstrip("%")) for t in root.findall("text[@class='tick']")}
    assert x + width == pytest.approx(ticks["0.5"], abs=0.02)
    assert 0 <= x < ticks["0.5"]


def test_secure_aggregation_is_told_beside_fedavg_not_in_its_place(make_study):
    methods = (
        ("local", "local", "Local only", None, None, 0.9),
        ("fedavg", "federated", "FedAvg", "fedavg", None, 0.95),
        ("fedavg-secagg", "federated", "FedAvg + SecAgg", "fedavg", None, 0.95),
        ("dp-1", "dp", "DP-FedSGD, ε = 1", "fedavg", 1.0, 0.93),
    )
    results = make_study(methods=methods)
    results["methods"][2] |= {"aggregation": "secure", "protects": "Single updates too."}
    text = page(results)
    rows = re.findall(r'<tr data-method="([^"]+)"', text)
    assert rows == [method[0] for method in methods]
    assert "Single updates too." in text
    assert [m.short for m in Model(results).methods][1:3] == ["FedAvg", "+ SecAgg"]
    assert [m.id for m in Model(results).references()] == ["fedavg", "local"]
