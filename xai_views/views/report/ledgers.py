"""How the parts of an explanation add up to a logit, at full precision, and tables as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xai_views.contract.explanation import PROVENANCE
from xai_views.views import roles

#: What a ledger adds besides its rows, where the explanation has it.
BESIDE = ("padding_contribution", "residual")


@dataclass(frozen=True)
class Ledger:
    """The parts of one logit.

    Attributes
    ----------
    variable : str
        Which parts: the name of the variable.
    target : str
        The class whose logit they add up to.
    rows : tuple of (str, float)
        Each part.
    sums : tuple of (str, float)
        Bias and what else is added; then the sum of everything, and the model's logit.
    """

    variable: str
    target: str
    rows: tuple[tuple[str, float], ...]
    sums: tuple[tuple[str, float], ...]


def ledger_of(ds: xr.Dataset, sample: int = 0) -> Ledger | None:
    """Return the ledger of the explained class of one sample; None for an explanation without one."""
    one = roles.single(ds, sample)
    if "logit" not in one or "target_class" not in one:
        return None
    target = int(np.atleast_1d(one["target_class"].values)[0])
    if "cluster_contribution" in one:
        parts = one["cluster_contribution"].isel(target=0)
        rows = [(f"cluster {c}", float(v)) for c, v in enumerate(parts.values)]
        name, beside = "cluster_contribution", [n for n in BESIDE if n in one]
    elif "evidence" in one and "support_class" in one:
        own = np.flatnonzero(one["support_class"].values == target)
        known = (
            one["support_sample"].values
            if "support_sample" in one.coords
            else np.arange(one.sizes["support"])
        )
        rows = [(f"support sample {int(known[r])}", float(one["evidence"].values[r])) for r in own]
        name, beside = "evidence", []  # the residual is that of the pixels, not of the logit
    else:
        return None
    added = [("bias", float(one["bias"].values[target]))] if "bias" in one else []
    for extra in beside:
        values = one[extra]
        added.append(
            (roles.title_of(extra), float(values.isel(target=0) if "target" in values.dims else values))
        )
    total = sum(v for _, v in rows) + sum(v for _, v in added)
    sums = [*added, ("sum", total), ("logit", float(one["logit"].values[target]))]
    return Ledger(name, class_name(one, target), tuple(rows), tuple(sums))


def class_name(ds: xr.Dataset, number: int) -> str:
    """Return the name of a class of an explanation."""
    known = ds["class"].values if "class" in ds.coords else ()
    return str(known[number]) if 0 <= number < len(known) else f"class {number}"


def answer_of(ds: xr.Dataset, sample: int = 0) -> list[tuple[str, float, float]]:
    """Return class, logit and probability of every class of one sample, the largest logit first."""
    one = roles.single(ds, sample)
    if "logit" not in one:
        return []
    logit = np.asarray(one["logit"].values, float)
    p = np.asarray(one["probability"].values, float) if "probability" in one else np.full(len(logit), np.nan)
    return [
        (class_name(one, int(c)), float(logit[c]), float(p[c])) for c in np.argsort(-logit, kind="stable")
    ]


# -- CSV -------------------------------------------------------------------------------------------------------------


def explanation_csv(ds: xr.Dataset, about: Mapping[str, Any] = {}, sample: int = 0) -> str:
    """Return the ledger, logits and probabilities of one sample as CSV, at full precision.

    Parameters
    ----------
    ds : Dataset
        An explanation.
    about : mapping
        Further lines of the head, such as the address.
    sample : int
        Position in ``ds``.

    Returns
    -------
    str
        Provenance in lines that begin with ``#``, then the columns quantity, item and value; ``pandas.read_csv(file,
        comment="#")`` reads it.
    """
    found, rows = ledger_of(ds, sample), []
    if found is not None:
        rows += [(found.variable, item, value) for item, value in found.rows]
        rows += [("ledger", item, value) for item, value in found.sums]
        about = {"explained class": found.target, **about}
    for name, logit, probability in answer_of(ds, sample):
        rows += [("logit", name, logit), ("probability", name, probability)]
    listed = {(r["what"], r["value"]) for r in roles.figures(ds, sample)} if not rows else set()
    rows += [("value", what, value) for what, value in sorted(listed)]
    columns = [{"key": "quantity"}, {"key": "item"}, {"key": "value"}]
    return table_csv(
        columns,
        [dict(zip(("quantity", "item", "value"), r, strict=True)) for r in rows],
        {**provenance(ds), **about},
    )


def table_csv(
    columns: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any] = {}
) -> str:
    """Return a table as CSV.

    Parameters
    ----------
    columns : sequence of mapping
        ``{"key", "title", "kind"}``, as a listing takes them; pictures are left out.
    rows : sequence of mapping
        A value for each key; numbers are written with all their digits.
    about : mapping
        Lines of the head, each ``# name: value``.
    """
    out = io.StringIO()
    for name, value in about.items():
        out.write(f"# {name}: {' '.join(str(value).split())}\n")
    written = [c for c in columns if c.get("kind") != "image"]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([c.get("title") or c["key"] for c in written])
    for row in rows:
        writer.writerow([_cell(row.get(c["key"], "")) for c in written])
    return out.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else repr(float(value))
    text = str(value)
    # A spreadsheet runs what begins like a formula; an apostrophe keeps it text.
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def provenance(ds: xr.Dataset) -> dict[str, str]:
    """Return everything that an explanation says of how it was made."""
    return {n: str(ds.attrs[n]) for n in (*PROVENANCE, "prepared") if n in ds.attrs}
