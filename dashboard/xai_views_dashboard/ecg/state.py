"""The selection of the ECG explorer, beside the parameters of its method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import param

from xai_views_dashboard.core.state import NONE, AppState

SHOWN = ("clusters", "contribution", "attribution", "nothing")
FADES = ("entropy", "ensemble", "nothing")
MOST = 32  # clusters, and everything else that an address may list
MOST_EDITS = 20
KINDS = ("mute", "silence", "blend")


class EcgState(AppState):
    """What the page shows of the explanation, and the edits of the record in view."""

    shown: Any = param.Selector(default="clusters", objects=list(SHOWN), doc="What is drawn with the trace.")
    fade: Any = param.Selector(default="entropy", objects=list(FADES), doc="What stripes the clusters.")
    truth = param.Boolean(False, doc="Whether the ground truth is outlined.")
    cluster = param.Integer(NONE, bounds=(-1, MOST - 1), doc="The selected cluster; -1 = none.")
    edits_made = param.List(
        [], item_type=dict, doc="Edits of the record in view, in s; an inserted beat by record and time."
    )
    support = param.Integer(NONE, bounds=(-1, None), doc="The selected support record; -1 = the strongest.")
    interval = param.List([], doc="Brushed interval [lead, start s, stop s]; lead -1 = all leads.")
    beside = param.String("", doc="Record or model shown beside this one: 'record:NAME' or 'model:NAME'.")
    long_start = param.Number(0.0, bounds=(0, None), doc="Start of the window in view of a long record, s.")
    long_seconds = param.Number(0.0, bounds=(0, None), doc="Length of that window, s; 0 = the whole record.")
    names = param.Dict({}, doc="Your names of the clusters, {cluster: name}.")

    #: What an undo takes back.
    EDITS: ClassVar[tuple[str, ...]] = ("edits_made", "ablated")
    #: Edits, removed clusters and the brushed interval belong to the record on which they were made.
    OF_SAMPLE: ClassVar[tuple[str, ...]] = ("region", "edits_made", "ablated", "interval")
    #: An address has no place for the values of a beat: the session looks them up.
    HELD_AS: ClassVar[Mapping[str, str]] = {"edits": "edits_made"}

    def checked(self, key: str, value: Any) -> Any:
        """Return a value of an address within bounds."""
        if key == "edits_made":
            return [checked_edit(e) for e in list(value)[:MOST_EDITS]]
        if key == "interval" and value:
            lead, start, stop = value
            return [int(lead), float(start), float(stop)]
        if key == "names":
            return {str(int(k)): str(v)[:40] for k, v in list(dict(value).items())[:MOST]}
        return value[:MOST] if isinstance(value, list) and key != "region" else super().checked(key, value)


def checked_edit(edit: Any) -> dict[str, Any]:
    """Return an edit in the form that the state keeps.

    Raises
    ------
    ValueError
        For an unknown kind or missing values.
    """
    if not isinstance(edit, dict) or edit.get("kind") not in KINDS:
        raise ValueError(edit)
    out = {"kind": str(edit["kind"]), "lead": int(edit.get("lead", -1))}
    if out["kind"] != "mute":
        out |= {"start": float(edit["start"]), "stop": float(edit["stop"])}
    if out["kind"] == "blend":
        out |= {"record": str(edit["record"])[:80], "from": float(edit["from"])}
    return out
