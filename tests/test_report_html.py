import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from qisguard.errors import DecodeError, QisguardError
from qisguard.lab.demo.results import Report, encode
from qisguard.reports import RENDERERS
from qisguard.reports.html import HtmlRenderer
from tests.report_sample import row, sample

VOID = {"meta", "link", "br", "img", "input", "hr"}
HOSTILE = (
    "</text></svg></style><script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{7*7}}$\\frac$"
)


class Page(HTMLParser):
    """What a browser would find: elements, attributes and text; every element closed in order."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.pieces: list[str] = []
        self._open: list[str] = []
        self.feed(data.decode())
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an opening tag."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an empty element."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        """Take a closing tag."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Take text."""
        if "style" not in self._open:
            self.pieces.append(data)

    @property
    def text(self) -> str:
        """Return all text with single spaces."""
        return re.sub(r"\s+", " ", " ".join(self.pieces))


def render(report: Report) -> bytes:
    return HtmlRenderer().render({"report.json": encode(report)})


@pytest.fixture(scope="module")
def report() -> Report:
    return sample()


@pytest.fixture(scope="module")
def data(report: Report) -> bytes:
    return render(report)


@pytest.fixture(scope="module")
def page(data: bytes) -> Page:
    return Page(data)


def test_the_registry_names_the_renderer_and_its_suffix() -> None:
    assert RENDERERS["html"].suffix == ".html"


def test_every_rate_is_printed_with_its_count_and_interval(report: Report, page: Page) -> None:
    printed = Counter(re.findall(r"\d+ of \d+ · [^)]+\)", page.text))
    wanted: Counter[str] = Counter()
    for rate in report.rates:
        low, mid, high = (
            f"{100 * x:.0f}" if x in (0.0, 1.0) else f"{100 * x:.1f}"
            for x in (rate.lo, rate.rate, rate.hi)
        )
        wanted[f"{rate.flips} of {len(rate.seeds)} · {mid} % ({low}–{high} %)"] += 1  # noqa: RUF001
    assert printed == wanted


def test_the_headline_is_one_sentence_with_both_counts(page: Page) -> None:
    assert (
        "64 invented identities (Sybils) turned the answer round in 20 of 20 runs without defences,"
        " and in 0 of 20 with defences." in page.text
    )


def test_the_text_says_where_the_defences_fail_and_where_they_held(page: Page) -> None:
    assert "The defences fail at 4 compromised hospitals" in page.text
    assert "held at every budget tried, up to 256 Sybils" in page.text
    assert "may still be up to 16.1 %" in page.text


def test_every_figure_has_a_caption_with_engine_seeds_and_size(data: bytes) -> None:
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", data.decode(), re.DOTALL)
    assert len(captions) == 4
    for caption in captions:
        assert re.search(r"(virtual|live) · seeds?\s\d+", caption)
        assert "n = " in caption


def test_figures_have_titles_and_ids_are_unique(page: Page) -> None:
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert [i for i, size in Counter(ids).items() if size > 1] == []
    figures = [attrs for tag, attrs in page.elements if tag == "svg"]
    assert len(figures) == 4
    for attrs in figures:
        assert attrs["role"] == "img"
        assert set(attrs["aria-labelledby"].split()) <= set(ids)
    links = {
        link
        for _, attrs in page.elements
        for value in attrs.values()
        for link in re.findall(r"(?:^|url\()#([\w-]+)", value)
        if not re.fullmatch(r"[0-9a-f]{6}", link)
    }
    assert links <= set(ids)


def test_the_page_refers_to_nothing_outside_itself(data: bytes, page: Page) -> None:
    assert len(data) < 1_000_000
    for tag, attrs in page.elements:
        assert tag not in ("script", "img", "iframe", "object", "base")
        assert not any(name.startswith("on") or name.startswith("xmlns") for name in attrs)
        for name in ("href", "src", "action"):
            assert attrs.get(name, "#").startswith("#") or attrs[name] == "data:,"
    for link in re.findall(rb"url\(([^)]*)\)", data):
        assert link.startswith(b"#")
    assert b"http://" not in data
    assert b"https://" not in data
    assert b"@import" not in data


def test_tables_say_what_their_heads_are_for(page: Page) -> None:
    scopes = [attrs.get("scope") for tag, attrs in page.elements if tag == "th"]
    assert set(scopes) == {"col", "row"}
    tags = Counter(tag for tag, _ in page.elements)
    assert tags["caption"] == tags["table"] > 6
    assert ("html", {"lang": "en"}) in page.elements


def test_hostile_names_are_text_everywhere() -> None:
    names = {"hormone": f"a{HOSTILE}", "no-hormone": f"b{HOSTILE}", "hospital-01": f"c{HOSTILE}"}
    names |= {"demo": HOSTILE, "AUD-13": HOSTILE, "3.11.9": HOSTILE, "cores": HOSTILE}
    names |= {"not on the roster": HOSTILE, "GBSG2": HOSTILE, "sybil_poisoning": HOSTILE}
    names |= {"defended": f"d{HOSTILE}", "virtual": f"e{HOSTILE}", "one hospital": HOSTILE}

    def swap(value: object) -> object:
        if isinstance(value, dict):
            return {swap(key): swap(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [swap(item) for item in value]
        return names.get(value, value) if isinstance(value, str) else value

    hostile = msgspec.convert(swap(msgspec.to_builtins(sample(seeds=2))), Report)
    hostile = msgspec.structs.replace(hostile, title=HOSTILE, question=HOSTILE, command=HOSTILE)
    page = Page(render(hostile))
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "img"}
    assert not any(name == "onerror" for _, attrs in page.elements for name in attrs)
    assert HOSTILE.replace("  ", " ") in page.text
    assert "c</text></svg></style>" in page.text  # an issuer's name, beside its bar
    assert "{{7*7}}" in page.text


def test_control_characters_are_spelled_out() -> None:
    dirty = msgspec.structs.replace(sample(seeds=1), title="a\x1b[31mb\u202ec\x00")
    data = render(dirty)
    assert b"a\\x1b[31mb\\u202ec\\x00" in data
    assert b"\x1b" not in data


def test_the_same_folder_gives_the_same_bytes_whatever_the_environment(
    report: Report, data: bytes, tmp_path: Path
) -> None:
    (tmp_path / "report.json").write_bytes(encode(report))
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 9\nfont.size: 30\n")
    code = (
        "import pathlib, sys; from qisguard.reports import RENDERERS; sys.stdout.buffer.write("
        "RENDERERS['html'].render({'report.json': pathlib.Path('report.json').read_bytes()}))"
    )
    again = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONHASHSEED": "7", "MATPLOTLIBRC": str(tmp_path)},
        capture_output=True,
        check=True,
    )
    assert again.stdout == data


def test_without_live_rows_the_page_says_that_no_socket_was_used() -> None:
    page = Page(render(sample(seeds=3, is_live=False)))
    assert "nothing here was measured on real sockets" in page.text
    assert "No trail was audited in this run." in page.text
    assert "Quick run" in page.text


def test_one_seed_and_invented_patients_are_called_that() -> None:
    page = Page(render(sample(seeds=1, is_live=False, is_synthetic=True)))
    assert "Synthetic patients" in page.text
    assert "The patients are synthetic" in page.text
    assert "virtual · seed 1" in page.text
    assert "seeds 1" not in page.text


def test_a_report_without_any_measurement_still_renders() -> None:
    nothing = msgspec.structs.replace(
        sample(seeds=1),
        rows=[],
        rates=[],
        curves=[],
        weights=[],
        networks=[],
        audits=[],
        truth=[],
        attacks=[],
        defenses=[],
        headline="",
    )
    page = Page(render(nothing))
    assert "No attack was measured." in page.text
    assert page.text.count("is not drawn") == 4


def test_one_network_and_no_attack_still_renders(report: Report) -> None:
    few = msgspec.structs.replace(
        report,
        rows=[r for r in report.rows if r.network == "defended" and r.step == "clean"],
        rates=[r for r in report.rates if r.network == "defended" and r.step == "clean"],
    )
    page = Page(render(few))
    assert "No attack was measured." in page.text
    assert "Sybils were not tried" in page.text


def test_every_seed_that_went_otherwise_is_listed() -> None:
    report = sample(seeds=9, is_live=False)
    odd = msgspec.structs.replace(
        row("virtual", 7, "defended", ("headline", 64, 0)),
        decision="no-hormone",
        is_flipped=True,
        reasons=["seven went its own way"],
    )
    held = msgspec.structs.replace(
        row("virtual", 9, "undefended", ("headline", 64, 0)),
        decision="hormone",
        is_flipped=False,
        reasons=["nine was not moved"],
    )
    swap = {("virtual", 7, "defended"): odd, ("virtual", 9, "undefended"): held}
    rows = [
        swap.get((r.engine, r.seed, r.network), r) if r.step == "headline" else r
        for r in report.rows
    ]
    text = Page(render(msgspec.structs.replace(report, rows=rows))).text
    assert "seven went its own way" in text
    assert "nine was not moved" in text
    assert "There is none:" not in text


def test_no_exception_is_said_so(page: Page) -> None:
    assert "There is none:" in page.text


def test_the_damaged_copy_is_shown_with_check_and_file(page: Page) -> None:
    assert re.search(r"check\s+AUD-13", page.text)
    assert re.search(r"file\s+tile/entries/000.p/212", page.text)


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ({}, "not in the result folder"),
        ({"report.json": b""}, "not a report"),
        ({"report.json": b"\xff\xfe"}, "not a report"),
        ({"report.json": b"[1, 2]"}, "not a report"),
        ({"report.json": b'{"format": 1}'}, "not a report"),
        ({"report.json": b"[" * 100_000}, "not a report"),
    ],
)
def test_what_is_not_a_report_is_refused_with_the_reason(
    folder: dict[str, bytes], message: str
) -> None:
    with pytest.raises(DecodeError, match=message):
        HtmlRenderer().render(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: msgspec.structs.replace(r, format=2), "format = 2, must be 1"),
        (
            lambda r: msgspec.structs.replace(
                r, curves=[msgspec.structs.replace(r.curves[0], times=[1.0])]
            ),
            "1 times and",
        ),
        (
            lambda r: msgspec.structs.replace(
                r, rates=[msgspec.structs.replace(r.rates[0], flips=99)]
            ),
            "flips = 99",
        ),
    ],
)
def test_a_report_that_contradicts_itself_is_refused(
    report: Report, change: Callable[[Report], Report], message: str
) -> None:
    with pytest.raises(DecodeError, match=message):
        render(change(report))


def test_without_matplotlib_the_error_says_what_to_install(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(QisguardError, match=r"qisguard\[lab\]"):
        render(report)


def test_importing_the_package_loads_no_plotting_and_no_templates() -> None:
    code = (
        "import sys, qisguard.reports; print({'matplotlib', 'jinja2', 'numpy'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert told.stdout.strip() == "set()"


def browse(browser: str, page: Path) -> tuple[list[str], list[str]]:
    """Return console lines and what the page asked for, in a browser that can reach nothing."""
    log = page.with_suffix(".netlog")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]
    command += ["--no-first-run", "--disable-background-networking", "--disable-component-update"]
    command += ["--disable-sync", "--disable-extensions", "--proxy-server=127.0.0.1:9"]
    command += [f"--user-data-dir={page.with_suffix('.profile')}", f"--log-net-log={log}"]
    command += ["--enable-logging=stderr", "--v=0", "--dump-dom", page.as_uri()]
    told = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60)
    asked = [
        event["params"]["url"]
        for event in json.loads(log.read_text())["events"]
        if event.get("params", {}).get("url")
        and event["params"].get("initiator", "not an origin")
        != "not an origin"  # the browser's own
    ]
    return [line for line in told.stderr.splitlines() if "CONSOLE" in line], asked


def test_a_browser_reports_no_error_and_no_request(data: bytes, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on this machine")
    control = tmp_path / "control.html"
    control.write_text(
        "<img src='http://qisguard.invalid/x.png'><script>console.error('control')</script>"
    )
    console, asked = browse(browser, control)
    assert console
    assert asked  # so the silence below means something
    ours = tmp_path / "report.html"
    ours.write_bytes(data)
    assert browse(browser, ours) == ([], [])
