#!/usr/bin/env python
"""The one entry point: `manage.py serve | web | worker | beat` and Django's own commands."""

import os
import sys

from core.garbage import load_without_collecting

# Before the first large import, until Django is set up (`config.apps`).
load_without_collecting()

from django.core.management import execute_from_command_line  # noqa: E402

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    execute_from_command_line(sys.argv)
