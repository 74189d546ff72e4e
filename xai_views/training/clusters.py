"""Clusters that all records share, fitted on training records and stored beside the weights."""

from __future__ import annotations

from pathlib import Path

from xai_views.methods.ecg_clusters.fit import finished, fit
from xai_views.models.checkpoint import load
from xai_views.models.stored import CLUSTERS
from xai_views.samples import open_samples
from xai_views.samples.prepare import prepare
from xai_views.training.data import TrainingSet

#: Number of training records to fit them on.
CLUSTERED = 800


def add_clusters(folder: Path, data: TrainingSet, quiet: bool = False) -> None:
    """Fit clusters on training records and write them into a checkpoint folder.

    Parameters
    ----------
    folder : Path
        A checkpoint folder.
    data : TrainingSet
        Training set of the network; the records are read again, without held-out ones.
    quiet : bool
        Whether to hide the progress bar.
    """
    from tqdm import tqdm

    records = open_samples(data.samples)
    records = records if data.index is None else records.isel(sample=data.index)
    model = load(folder)
    ready = prepare(records, model.leads, model.rate, *(model.size or ()))
    with tqdm(desc="clusters", disable=quiet, mininterval=2) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        finished(fit(model, ready, progress=progress, most=CLUSTERED)).save(folder / CLUSTERS)
