"""What the children say reaches standard output under their names, and never holds them up."""

import io

import pytest

from config.serve import output
from config.serve.output import Output


def test_lines_carry_the_name_of_who_said_them(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output()
    out.line("ready")
    out._relay("web", io.BytesIO(b"one\n\ntwo\n"))
    out.close()
    assert capsys.readouterr().out == "ready\nweb      | one\nweb      | two\n"


def test_json_lines_stay_json(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(named=False)
    out._relay("web", io.BytesIO(b'{"role": "web"}\n'))
    out.close()
    assert capsys.readouterr().out == '{"role": "web"}\n'


def test_lines_that_nobody_reads_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "_HELD", 2)
    monkeypatch.setattr(Output, "_write", lambda self: None)
    out = Output()
    for number in range(5):
        out.line(str(number))
    assert [out._lines.get() for _ in range(2)] == ["0", "1"]
    out.line("5")
    assert out._lines.get() == "(3 lines were dropped: nobody read them)"
