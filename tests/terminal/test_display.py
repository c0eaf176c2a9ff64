"""What a person sees while a study runs."""

from __future__ import annotations

import io
import threading

from rich.console import Console

from tests.conftest import tiny_study
from tune_diffreg.results.journal import Event
from tune_diffreg.terminal import open_display, result_table
from tune_diffreg.words import duration, knob, score, score_name, setting

STUDY = tiny_study()


def started(trial: str, baseline: str | None = None, control: bool = False) -> Event:
    values = {"regularization.residual_dropout": 0.25, "optimizer.clip_norm": None}
    return {"event": "start", "time": 0, "trial": trial, "values": values, "baseline": baseline,
            "control": control, "proposal": None}  # fmt: skip


def reported(trial: str, images: int, distance: float, decision: str = "continue") -> Event:
    scores = {"fd_digits_cnn": distance, "memorized_fraction": 0.125}
    return {"event": "report", "time": 0, "trial": trial, "images": images, "seconds": 1.0,
            "scores": scores, "decision": decision}  # fmt: skip


def ended(trial: str, state: str, reason: str | None = None) -> Event:
    return {"event": "end", "time": 0, "trial": trial, "state": state, "reason": reason}


EVENTS = [
    started("t0000", "unregularized"),
    started("t0001", control=True),
    {"event": "progress", "trial": "t0001", "images": 96},
    reported("t0000", 320, 200.0),
    reported("t0000", 1280, 40.0, "complete"),
    ended("t0000", "complete"),
    ended("t0001", "failed", "[/mnt/x] is full"),
    {"event": "interrupt"},
]


def shown(terminal: bool) -> str:
    file = io.StringIO()
    console = Console(
        file=file, force_terminal=terminal, width=100, markup=False, highlight=False,
        color_system=None,
    )  # fmt: skip
    with open_display(STUDY, {}, console) as display:
        for event in EVENTS:
            display(event)
    return file.getvalue()


def test_without_a_terminal_there_is_a_line_an_event() -> None:
    lines = [line.split("  ", 1)[1].strip() for line in shown(False).splitlines()]
    assert [line.split("  ")[-1] for line in lines] == [
        "t0000 unregularized started: residual_dropout 0.25, clip_norm none",
        "t0001 started, control: residual_dropout 0.25, clip_norm none",
        "t0000 unregularized at 320 images: FD 200.0, memorised 12.5%",
        "t0000 unregularized complete at 1,280 images: FD 40.0, memorised 12.5% (best so far)",
        "t0001 failed: [/mnt/x] is full",
        "Stopping at the trials' next sign of life; Ctrl-C again stops at once.",
    ]


def test_on_a_terminal_endings_stay_and_the_state_is_drawn() -> None:
    screen = shown(True)
    assert "t0001 failed: [/mnt/x] is full" in screen
    assert "0 running, 1 complete, 0 pruned, 1 failed, of 8 trials" in screen
    assert "best so far: t0000 unregularized, FD 40.0, memorised 12.5% (breaks a constraint)" in (
        screen
    )
    assert "images seen, at most 10,240" in screen
    assert "t0000 unregularized started" not in screen


def test_the_live_display_may_be_drawn_while_events_arrive() -> None:
    """Its thread draws from what the main thread changes."""
    console = Console(file=io.StringIO(), force_terminal=True, width=100, markup=False)
    display = open_display(STUDY, {}, console)
    errors: list[BaseException] = []

    def draw() -> None:
        try:
            for _ in range(100):
                console.print(display._render())  # type: ignore[attr-defined]
        except BaseException as error:
            errors.append(error)

    drawing = threading.Thread(target=draw)
    drawing.start()
    for number in range(2000):
        display(started(f"t{number:04d}"))
    drawing.join()
    assert not errors


def test_the_result_table_of_a_study_without_results_is_empty() -> None:
    assert result_table(STUDY, {}).row_count > 0


def test_what_real_images_score_stands_under_the_results_where_it_is_known() -> None:
    floor = {"value": 3.78, "images": 512, "measured": 275}
    caption = result_table(STUDY, {}, None, floor).caption
    assert str(caption).endswith("; 512 real images score FD about 3.780")
    exact = {"value": 3.78, "images": 512, "measured": 512}
    assert str(result_table(STUDY, {}, None, exact).caption).endswith("score FD 3.780")
    assert "real images" not in str(result_table(STUDY, {}).caption)


def test_an_extrapolated_distance_has_a_name() -> None:
    assert score_name("fid_infinity") == "FID at infinitely many images"
    assert "(8x8 pixels, not Inception FID) at infinitely" in score_name("fd_pixels_infinity")


def test_numbers_and_names_are_for_people() -> None:
    assert [duration(s) for s in (5, 65, 3725)] == ["0:05", "1:05", "1:02:05"]
    assert [setting(v) for v in (None, 0.25, 32, "cosine")] == ["none", "0.25", "32", "cosine"]
    assert score("memorized_fraction", 0.1234) == "12.3%"
    assert [score("fid", v) for v in (1.23456, 41.77, None)] == ["1.235", "41.8", "-"]
    assert knob("diffusion.schedule.name", ["diffusion.schedule.name"]) == "schedule.name"
    assert knob("a.seed", ["a.seed", "b.seed"]) == "a.seed"
