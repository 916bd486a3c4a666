"""A foreign key given as a string is an import too: it points down the same layers."""

import tomllib
from pathlib import Path

from django.apps import apps

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
# Rooms in one line stand side by side: none of them leads to another.
LEVELS = {room: level for level, line in enumerate(CONTRACTS[0]["layers"]) for room in line.split(" | ")}


def room(model: type) -> str:
    return model.__module__.split(".")[0]


def test_no_foreign_key_points_up() -> None:
    pairs = {
        (room(model), room(field.related_model))
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if field.many_to_one or (field.one_to_one and field.concrete)
        if room(model) in LEVELS and room(field.related_model) in LEVELS
    }
    assert len(pairs) > 5
    assert [(a, b) for a, b in pairs if a != b and LEVELS[a] >= LEVELS[b]] == []
