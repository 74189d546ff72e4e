"""CSV files with text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xai_views.errors import SamplesError, cause

if TYPE_CHECKING:
    import pandas as pd


def read_table(file: Path, **options: Any) -> pd.DataFrame:
    """Read a CSV in UTF-8 as text; an empty field is "".

    Raises
    ------
    SamplesError
        When it cannot be read as one.
    """
    import pandas as pd

    try:
        return pd.read_csv(
            file, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True, **options
        )
    except (ValueError, pd.errors.ParserError, OSError) as e:
        why = cause(e)
        raise SamplesError(f"{file.name!r} cannot be read as CSV in UTF-8 ({why}); save it again.") from None
