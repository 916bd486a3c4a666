"""What became of slots, as people are shown it: a badge, or a mark in a row of them."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.utils.html import format_html, format_html_join

from core.admin import badge, moment
from scheduling.models import Outcome

# A firing's outcome, or how its run went -> colour of the badge, mark, icon.
LOOKS = {
    "success": ("success", "✓", "check"),
    "error": ("danger", "✕", "close"),
    "timeout": ("danger", "✕", "timer_off"),
    "cancelled": ("warning", "⊘", "block"),
    "interrupted": ("warning", "?", "help"),
    "pending": ("info", "…", "schedule"),
    "running": ("info", "…", "play_arrow"),
    str(Outcome.STARTED): ("info", "…", "play_arrow"),
    str(Outcome.SKIPPED): ("", "–", "skip_next"),
    str(Outcome.MISSED): ("warning", "!", "event_busy"),
    str(Outcome.FAILED): ("danger", "✕", "error"),
}


def word_of(outcome: str, run_status: str | None) -> str:
    """How it went, in a word: of a slot that started a run, how that went."""
    return run_status if outcome == Outcome.STARTED and run_status else outcome


def status_badge(word: str) -> str:
    """The word as a badge with its icon."""
    colour, _, icon = LOOKS.get(word, ("", "", ""))
    return badge(word, colour, icon=icon)


def strip(firings: Sequence[dict[str, Any]]) -> str:
    """A mark for each of the firings, the oldest first; in words for who points at one, or cannot see them.

    Each has `outcome`, `status` (its run's), `reason` and `at`, a moment.
    """
    if not firings:
        return "\N{EN DASH}"
    words = [word_of(firing["outcome"], firing["status"]) for firing in firings]
    counted = ", ".join(f"{count} {word}" for word, count in Counter(words).most_common())
    marks = format_html_join(
        "",
        '<i class="{}" title="{}">{}</i>',
        (
            (LOOKS.get(word, ("",))[0], _told(word, firing), LOOKS.get(word, ("", "·"))[1])
            for word, firing in zip(words, firings, strict=True)
        ),
    )
    return format_html('<span class="marks" role="img" tabindex="0" aria-label="{}">{}</span>', counted, marks)


def _told(word: str, firing: dict[str, Any]) -> str:
    told = f"{moment(firing['at'])} UTC: {word}"
    return f"{told}, {firing['reason']}" if firing["reason"] else told
