class ServeError(Exception):
    """Something that only the person at the keyboard can mend: one line that says what to do."""
