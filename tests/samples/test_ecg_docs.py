"""The examples of docs/ecg-data.md run one after another, in an empty folder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "ecg-data.md"


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    pytest.importorskip("wfdb")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(blocks) == 3
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert "['I' 'II'] 500.0 ['']" in capsys.readouterr().out
    assert names["ready"]["signal"].shape == (1, 4, 1024)
    assert names["ready"]["flag"].item() == "III is computed from I and II; V1 is missing, zeros instead"
    assert names["again"].sizes["time"] == 1500
    assert names["low"].shape == (2, 600)
    assert names["piece"].sizes["time"] == 1000
