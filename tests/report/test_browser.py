"""The report as a browser shows it: offline, every figure drawn, a clean console."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request

from tests.conftest import Command
from tests.search.test_coordinator import coordinator, play, tiny_study
from tune_diffreg.report import write_report
from tune_diffreg.results import StudyFolder


def opened(browser: Browser, report: Path, **how: object) -> Page:
    """The page, after a look that nothing was fetched and nothing complained."""
    context = browser.new_context(offline=True, **how)  # type: ignore[arg-type]
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        said.append(message.text)

    def see(request: Request) -> None:
        asked.append(request.url)

    page.on("console", hear)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", see)
    page.goto(report.resolve().as_uri())
    page.wait_for_function(
        "[...document.querySelectorAll('.plotly-graph-div')].every(d => d.querySelector('svg'))"
    )
    assert said == []
    fetched = [url for url in asked if not url.startswith(("data:", "blob:"))]
    assert fetched == [report.resolve().as_uri()]
    return page


DARK_GROUND, LIGHT_INK = "rgb(22, 24, 27)", "rgb(232, 232, 232)"


def colors(page: Page) -> tuple[str, set[str]]:
    """The ground, and the colours of all text in figures."""
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    texts = "[...document.querySelectorAll('.plotly-graph-div svg text')]"
    ink = page.evaluate(f"{texts}.map(text => getComputedStyle(text).fill)")
    return ground, set(ink)


def contrast(*colors: str) -> float:
    """Of two colours rgb(r, g, b), as WCAG 2 defines it."""
    luminances = []
    for color in colors:
        channels = [int(part) / 255 for part in color[4:-1].split(",")]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        luminances.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    low, high = sorted(luminances)
    return (high + 0.05) / (low + 0.05)


def marks(page: Page) -> list[int]:
    """How many points, bars or lines each figure shows."""
    return page.evaluate(  # type: ignore[no-any-return]
        "[...document.querySelectorAll('.plotly-graph-div')].map("
        "d => d.querySelectorAll('.points path, .lines path').length)"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_figures_are_drawn_and_their_text_is_readable(
    browser: Browser, tmp_path: Path, scheme: str
) -> None:
    study = tiny_study("search.trials=24")
    play(coordinator(tmp_path, study), study)
    folder = StudyFolder(tmp_path, study.name)
    write_report(folder)
    page = opened(browser, folder.report, color_scheme=scheme)
    titles = page.locator(".plotly-graph-div .xtitle").all_text_contents()
    assert any("PED-ANOVA" in title for title in titles), titles
    drawn = marks(page)
    assert len(drawn) == 5
    del drawn[3]  # gaps by noise band, which played trials have not
    assert all(drawn)
    ground, ink = colors(page)
    assert ink
    assert all(contrast(ground, color) >= 4.5 for color in ink)


@pytest.mark.slow
def test_the_report_of_a_confirmed_study(browser: Browser, confirmed: Path) -> None:
    report = confirmed / "digits" / "report.html"
    assert report.stat().st_size < 6e6
    page = opened(browser, report)
    titles = page.locator("h2").all_inner_texts()
    assert titles[0] == "Confirmed on fresh seeds and the test split"
    assert {"Distance and memorisation", "What is most like a training image", "Learning curves",
            "Samples from the same latents", "What each setting did", "Where the time went",
            } <= set(titles)  # fmt: skip
    assert page.locator(".plotly-graph-div").count() >= 4
    drawn = marks(page)
    assert all(drawn), drawn  # each figure shows something
    assert sum(drawn) > 10
    assert page.locator("img.sheet").count() >= 4
    drawn = page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert drawn
    answer = page.locator(".answer p").all_inner_texts()
    assert answer[0].startswith("Use t000")
    assert any(sentence.startswith("Confirmed on 2 fresh seeds") for sentence in answer)


@pytest.mark.slow
def test_on_a_phone_and_in_the_dark(browser: Browser, confirmed: Path) -> None:
    report = confirmed / "digits" / "report.html"
    phone = {"width": 390, "height": 844}
    page = opened(browser, report, viewport=phone, color_scheme="dark")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
    assert colors(page) == (DARK_GROUND, {LIGHT_INK})


@pytest.mark.slow
def test_in_print(browser: Browser, confirmed: Path) -> None:
    report = confirmed / "digits" / "report.html"
    page = opened(browser, report, color_scheme="dark")
    page.emulate_media(media="print")
    ground, ink = colors(page)
    assert (ground, ink) == ("rgb(255, 255, 255)", {"rgb(0, 0, 0)"})
    printed = page.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Type /Page\n") >= 2


@pytest.mark.slow
def test_the_report_command_makes_the_same_page_again(
    confirmed: Path, browser: Browser, command: Command
) -> None:
    report = confirmed / "digits" / "report.html"
    before = opened(browser, report).locator("body").inner_text()
    report.unlink()
    status, printed = command("report", "digits", "--storage", confirmed)
    assert status == 0, printed
    assert opened(browser, report).locator("body").inner_text() == before


def test_a_study_that_was_interrupted_has_a_whole_report(browser: Browser, tmp_path: Path) -> None:
    study = tiny_study()
    play(coordinator(tmp_path, study), study, stop_after=5)
    folder = StudyFolder(tmp_path, study.name)
    write_report(folder)
    opened(browser, folder.report)
