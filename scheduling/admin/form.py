"""A schedule as people type it."""

import json
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextareaWidget

from accounts.acting import ServicedForm
from core.clock import isoformat
from core.errors import BadRequest
from core.strict_json import parse_json
from scheduling.bodies import RULE
from scheduling.models import Schedule


class DocumentText(forms.CharField):
    """JSON as text, read as strictly as a request's body."""

    widget = UnfoldAdminTextareaWidget(attrs={"rows": 6, "class": "json", "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not text:
            return None
        try:
            return parse_json(text.encode())
        except BadRequest as fault:
            raise forms.ValidationError(fault.detail.replace("The body", "It")) from None

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(data) != initial)
        except forms.ValidationError:
            return True


class ScheduleForm(ServicedForm):
    """A schedule's fields. What they may hold is the service's to say; here it is read."""

    input = DocumentText(
        initial={"message": ""}, help_text='JSON, the input of each run: {"message": "..."} for most assistants.'
    )
    # A text where a schedule has none is no name.
    texts = ("cron", "user_id", "tag")

    class Meta:
        model = Schedule
        fields = [
            "assistant",
            "name",
            "cron",
            "interval_s",
            "at",
            "timezone",
            "input",
            "version",
            "tag",
            "session_id",
            "user_id",
            "enabled",
            "skip_if_running",
            "max_active_runs",
            "misfire",
            "jitter_s",
            "end_time",
            "alert_after",
        ]
        labels = {"interval_s": "Interval (seconds)", "jitter_s": "Jitter (seconds)", "at": "At (UTC)"}
        labels |= {"end_time": "End (UTC)", "cron": "Cron", "session_id": "Session", "user_id": "User"}
        labels |= {"misfire": "Slots missed", "version": "Version (fixed)", "tag": "Version (tag)"}
        help_texts = {
            "cron": "Minute, hour, day, month, weekday: 0 9 * * MON-FRI. One of cron, interval and moment.",
            "interval_s": "60 or more, counted from now on.",
            "at": "Once.",
            "timezone": "An IANA name, in which the cron expression is read: Europe/Berlin.",
            "version": "Without one, and without a tag, each run takes the current version.",
            "skip_if_running": "A slot is skipped while a run of this schedule is pending, running or interrupted.",
            "max_active_runs": "Where slots are not skipped: how many runs there may be at a time.",
            "misfire": "What becomes of slots that came while the server was down.",
            "jitter_s": "Up to so much later a slot is started, always the same for the same slot.",
            "alert_after": "So many failures in a row raise an alert.",
        }

    def clean(self) -> dict[str, Any]:
        given = super().clean()
        rules = [name for name in RULE if given.get(name)]
        if len(rules) != 1 and not any(name in self.errors for name in RULE):
            self.add_error(None, "Exactly one of cron, interval and moment says when it runs.")
        return given

    def filled_in(self) -> list[str]:
        """The fields in which something stands; the others are as the API has them by itself."""
        return [name for name, value in self.cleaned_data.items() if value not in (None, "")]

    def body(self, names: list[str]) -> dict[str, Any]:
        """These fields as the API takes them; of the three that say when, the one that does."""
        given = self.cleaned_data
        body: dict[str, Any] = {name: given[name] for name in names if name != "assistant"}
        for name in self.texts:
            if not body.get(name, True):
                body[name] = None
        for name in ("at", "end_time"):
            if body.get(name):
                body[name] = isoformat(body[name])
        if body.get("session_id"):
            body["session_id"] = str(body["session_id"])
        if body.keys() & {*RULE}:
            said = next(name for name in RULE if given[name])
            body = {name: value for name, value in body.items() if name not in RULE}
            body[said] = isoformat(given[said]) if said == "at" else given[said]
        return body
