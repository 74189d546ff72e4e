"""The Python of docs/own-model.md runs, and its commands have the options shown."""

import argparse
import re
from pathlib import Path

PAGE = (Path(__file__).parent.parent.parent / "docs" / "own-model.md").read_text(encoding="utf-8")


def test_the_code_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 4
    names: dict = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, "own-model.md", "exec"), names)
    said = capsys.readouterr().out
    assert "SIC network" in said
    assert "(1, 32, 32)" in said
    assert "'epochs': 2" in said
    assert names["noise"].sizes["sample"] == 40
    assert not (names["result"]["residual"].values > 1e-3).any()


def test_the_commands_parse():
    from xai_views.cli.train import add_arguments

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    (command,) = re.findall(r"^xai-views train (.*)$", PAGE, re.MULTILINE)
    assert parser.parse_args(command.split()).recipe == "sic"
