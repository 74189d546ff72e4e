"""The Python of docs/ecg-models.md runs, and its commands have the options shown."""

import argparse
import re
from pathlib import Path

import numpy as np
import pytest

from xai_views.models.families.openecg.network import HEADS, NAMES

PAGE = (Path(__file__).parents[2] / "docs" / "ecg-models.md").read_text("utf-8")


def test_the_code_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 2
    names: dict = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, "ecg-models.md", "exec"), names)
    model, result = names["model"], names["result"]
    assert (model.kind, model.rate, model.leads) == ("signal", 400, tuple(names["leads"]))
    assert "III, aVR, aVL and aVF are computed from I and II; V1, V2" in names["ready"]["flag"].item()
    assert "gap" in capsys.readouterr().out
    assert np.abs(result["residual"].values).max() < 1e-4
    assert np.abs(result["time_contribution"].values).max() > 1e-5


def test_the_commands_parse():
    from xai_views.cli.train import add_arguments

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    commands = re.findall(r"^xai-views train (.*)$", PAGE, re.MULTILINE)
    assert [parser.parse_args(command.split()).recipe for command in commands] == ["ecg", "sic"]


@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_names_of_openecg_are_on_the_page(name):
    assert f'"{name}"' in PAGE
    if name == "openecg-rhythm":
        assert all(title in " ".join(PAGE.split()) for title in HEADS["rhythm"])


def test_linked_pages_are_there():
    links = re.findall(r"\]\(([\w./-]+\.md)(?:#\w+)?\)", PAGE)
    assert links
    assert all((Path(__file__).parents[2] / "docs" / link).is_file() for link in links)
    assert "## Folders" in (Path(__file__).parents[2] / "docs" / "ecg-data.md").read_text("utf-8")
