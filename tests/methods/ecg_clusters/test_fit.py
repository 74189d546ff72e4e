"""One codebook of many records: sampling, interruption and resumption, refusal, saving, and bootstrap."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from xai_views import open_model
from xai_views.contract.content import IsContent
from xai_views.engine.clusters.codebook import Codebook
from xai_views.engine.clusters.sample import Sample
from xai_views.errors import MethodError
from xai_views.methods.ecg_clusters import fit as fitting
from xai_views.methods.ecg_clusters.fit import BOOK, PLAN, STATE, Fitted, bootstrap, finished, fit, shipped
from xai_views.models.heads import find_head
from xai_views.models.taps import capture
from xai_views.samples import signal_dataset

from ..nave_nets import counted, picture, pictures
from .ecg_nets import LEADS, STEPS, TAPS, local, noisy, planted, records

ASK = {"taps": TAPS, "k": 5}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(fitting, "CHUNK", 2)


def same(one: Fitted, two: Fitted) -> bool:
    """Whether two fits are equal to the last bit."""
    pairs = zip((one.book, *one.ensemble), (two.book, *two.ensemble), strict=True)
    return all(
        a == b
        and a.spread == b.spread
        and torch.equal(a.last_mean, b.last_mean)
        and torch.equal(a.counts, b.counts)
        for a, b in pairs
    )


def stopped(model, ds, folder, at: int, ask=ASK, **options) -> None:
    """Run a fit until this number of progress reports."""

    def progress(done: int, _total: int) -> None:
        if done == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finished(fit(model, ds, **ask, progress=progress, folder=folder, **options))


# --- what is drawn ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_steps_drawn_are_k_means_of_all_steps(dtype):
    """When more steps are requested than exist, none is missed, and none is padding."""
    model, (signal, truth) = local(dtype=dtype), planted(5)
    ds = records(signal, length=[STEPS, STEPS, 400, 400, 16])
    ask = {"taps": ("relu1",), "k": 4}
    book = finished(fit(model, ds, **ask, per_record=1000, members=0)).book
    assert int(book.counts.sum()) == 40 + 40 + 25 + 25 + 1
    inside = np.arange(40) < np.array([40, 40, 25, 25, 1])[:, None]
    np.testing.assert_array_equal(
        np.sort(book.counts.numpy()), np.sort(np.bincount(truth[inside], minlength=4))
    )
    rows = capture(model, model.tensor(signal), ["relu1"])[1]["relu1"].double().movedim(1, 2)
    rows = (rows / rows.norm(dim=2, keepdim=True)).numpy()
    means = np.stack([rows[inside & (truth == w)].mean(0) for w in range(4)])
    gap = np.abs(book.centroids[0].double().numpy()[:, None] - means).max(2)
    np.testing.assert_allclose(gap.min(1), 0, atol=1e-6)
    assert sorted(gap.argmin(1)) == [0, 1, 2, 3]
    spread = sum(((rows[inside & (truth == w)] - m) ** 2).sum() for w, m in enumerate(means)) / 131
    assert book.spread == pytest.approx(spread, abs=1e-6)


def test_garbage_in_the_padding_changes_nothing():
    model, clean = local(), noisy(5, length=400)
    dirty = clean + noisy(5, seed=4) * (np.arange(STEPS) >= 400)
    ask = {"taps": ("relu1",), "k": 4}
    one, two = (finished(fit(model, records(x, length=[400] * 5), **ask, members=2)) for x in (clean, dirty))
    for a, b in zip((one.book, *one.ensemble), (two.book, *two.ensemble), strict=True):
        torch.testing.assert_close(a.centroids[0], b.centroids[0], atol=1e-6, rtol=0)
        assert torch.equal(a.counts, b.counts)


@pytest.mark.parametrize("head", ["gap", "flatten"])
def test_the_mean_of_the_last_map_is_that_of_its_cells_of_signal(head):
    model, signal = local(head), noisy(5, length=400)
    book = finished(fit(model, records(signal), **ASK, members=0)).book
    last = capture(model, model.tensor(signal), ["relu3"])[1]["relu3"]
    torch.testing.assert_close(book.last_mean, last[:, :, :6].mean((0, 2)), atol=1e-6, rtol=1e-5)


def test_the_zeros_at_the_end_are_padding_where_no_length_is_known():
    model, signal = local(), noisy(4, length=400)
    one = finished(fit(model, records(signal), **ASK, members=0))
    two = finished(fit(model, records(signal, length=[400] * 4), **ASK, members=0))
    assert same(one, two)
    assert int(one.book.counts.sum()) == 4 * 25


def test_steps_per_record_and_records_at_most():
    model, ds = local(), records(noisy(9))
    assert int(finished(fit(model, ds, **ASK, members=0, per_record=7)).book.counts.sum()) == 63
    few = finished(fit(model, ds, **ASK, members=0, per_record=40, most=3))
    assert int(few.book.counts.sum()) == 120
    assert same(few, finished(fit(model, ds, **ASK, members=0, per_record=40, most=3)))


def test_chunks_do_not_matter_and_each_record_goes_through_once(monkeypatch):
    model, ds = local(), records(noisy(5))
    find_head(model)
    with counted(model) as spent:
        one = finished(fit(model, ds, **ASK))
    assert (spent["forward"], spent["forward_calls"], spent["backward"]) == (5, 3, 0)
    monkeypatch.setattr(fitting, "CHUNK", 5)
    two = finished(fit(model, ds, **ASK))
    for a, b in zip((one.book, *one.ensemble), (two.book, *two.ensemble), strict=True):
        for m, n in zip(a.centroids, b.centroids, strict=True):
            torch.testing.assert_close(m, n, atol=1e-5, rtol=0)
    assert not same(one, finished(fit(model, ds, **ASK | {"seed": 1})))


def test_progress_counts_up_to_the_end():
    seen = []
    steps = fit(
        local(), records(noisy(5)), **ASK, progress=lambda done, total: seen.append((done, total)), members=2
    )
    finished(steps)
    assert seen == [(i, 6) for i in range(1, 7)]


def test_members_keep_the_order_of_the_book_where_their_own_is_another():
    """Each record has mostly one of three kinds of steps, so that what is drawn decides which kind is the largest."""
    kinds = torch.eye(3)[torch.tensor([[0] * 8 + [1, 2], [1] * 7 + [2, 0, 0], [2] * 6 + [0, 1, 1, 0]])].mT
    sample = Sample(per_image=10, weights="equal")
    sample.add([kinds])
    book = Codebook.of(sample, 3, ("a",))
    members = [bootstrap(sample, book, i) for i in range(6)]
    orders = set()
    for member in members:
        torch.testing.assert_close(member.centroids[0], book.centroids[0])
        assert int(member.counts.sum()) == 30
        orders.add(tuple(member.counts.argsort(descending=True).tolist()))
    assert len(orders) > 2


def test_where_a_member_misses_a_cluster_that_of_the_book_stays():
    kinds = torch.eye(3)[torch.tensor([[0, 0, 1, 1], [2, 2, 2, 2]])].mT
    sample = Sample(per_image=4, weights="equal")
    sample.add([kinds])
    book = Codebook.of(sample, 3, ("a",))
    drawn = {tuple(sorted(m.counts.tolist())) for m in (bootstrap(sample, book, i) for i in range(12))}
    assert {(0, 0, 8), (0, 4, 4), (2, 2, 4)} == drawn
    for i in range(12):
        torch.testing.assert_close(bootstrap(sample, book, i).centroids[0], book.centroids[0])


# --- interrupted and resumed ----------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
def test_a_fit_goes_on_where_it_was_stopped(tmp_path, at):
    """Five records in three chunks, then the codebook, then two members."""
    model, ds = local(), records(noisy(5, length=500))
    whole = finished(fit(model, ds, **ASK, members=2))
    stopped(model, ds, tmp_path / "fit", at, members=2)
    with counted(model) as spent:
        found = finished(fit(model, ds, **ASK, folder=tmp_path / "fit", members=2))
    assert spent["forward"] == max(5 - 2 * at, 0)
    assert same(found, whole)
    assert not (tmp_path / "fit" / STATE).exists(), "the drawn steps are deleted after clustering"
    with counted(model) as spent:
        again = finished(fit(model, ds, **ASK, folder=tmp_path / "fit", members=2))
    assert not any(spent.values())
    assert same(again, whole)
    assert same(Fitted.load(tmp_path / "fit"), whole)


def test_a_damaged_or_half_written_chunk_is_drawn_again(tmp_path):
    model, ds, folder = local(), records(noisy(5)), tmp_path / "fit"
    stopped(model, ds, folder, 3)
    first, second, third = sorted((folder / STATE).iterdir())
    (first / "sample.safetensors").write_bytes(b"no")
    (second / "last.safetensors").unlink()
    third.rename(third.with_suffix(".part"))
    with counted(model) as spent:
        found = finished(fit(model, ds, **ASK, folder=folder))
    assert spent["forward"] == 5
    assert same(found, finished(fit(model, ds, **ASK)))


def test_an_interrupted_save_is_finished(tmp_path):
    model, ds, folder = local(), records(noisy(3)), tmp_path / "fit"
    whole = finished(fit(model, ds, **ASK, folder=folder, members=1))
    shutil.rmtree(folder / BOOK)
    (folder / "ensemble-0" / "card.yaml").unlink()
    assert same(finished(fit(model, ds, **ASK, folder=folder, members=1)), whole)


@pytest.mark.parametrize("when", ["begun", "finished"])
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("model", "was started with model"),
        ("records", "was started with records"),
        ("length", "was started with records"),
        ("k", "was started with k 5 and 4 was given"),
        ("seed", "was started with seed 0 and"),
        ("weights", "was started with weights authors and"),
        ("taps", "was started with taps"),
        ("per_record", "was started with per_record 50 and 9 was given"),
        ("members", "was started with members 5 and"),
    ],
)
def test_a_fit_of_something_else_is_refused(tmp_path, when, what, said):
    model, ds, folder = local(), records(noisy(4)), tmp_path / "fit"
    if when == "begun":
        stopped(model, ds, folder, 1)
    else:
        finished(fit(model, ds, **ASK, folder=folder))
    changes = {
        "k": {"k": 4},
        "seed": {"seed": 3},
        "weights": {"weights": (1, 1, 2)},
        "taps": {"taps": TAPS[1:]},
    }
    ask = ASK | changes.get(what, {})
    model = local(seed=8) if what == "model" else model
    ds = records(noisy(4, seed=3)) if what == "records" else ds
    ds = records(noisy(4), length=[600] * 4) if what == "length" else ds
    options = {"per_record": 9} if what == "per_record" else {"members": 1} if what == "members" else {}
    with pytest.raises(MethodError, match=said) as e:
        finished(fit(model, ds, **ask, folder=folder, **options))
    assert one_sentence(e.value)


def test_another_folder_is_refused(tmp_path):
    (tmp_path / "holiday.txt").write_text("sun")
    with pytest.raises(MethodError, match="is not empty and holds no fit; choose another folder"):
        finished(fit(local(), records(noisy(2)), **ASK, folder=tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["holiday.txt"]
    (tmp_path / PLAN).write_text(": [")
    with pytest.raises(MethodError, match=r"fit\.yaml in .* cannot be read"):
        finished(fit(local(), records(noisy(2)), **ASK, folder=tmp_path))


# --- saved -----------------------------------------------------------------------------------------------------


def test_what_is_saved_is_a_codebook_with_a_card(tmp_path):
    model, ds = local(), records(noisy(3))
    found = finished(fit(model, ds, **ASK, folder=tmp_path / "fit", members=11))
    book = Codebook.load(tmp_path / "fit" / BOOK)
    assert book == found.book
    assert (book.taps, book.k, book.model_sha256, book.samples) == (TAPS, 5, model.sha256, "planted")
    again = Fitted.load(found.save(tmp_path / "copy"))
    assert same(again, found), "the eleventh member comes after the second"
    with pytest.raises(MethodError, match="is not a codebook"):
        Fitted.load(tmp_path / "nowhere")


def test_a_fit_goes_through_json_to_the_last_bit_and_its_key_tells_all_apart():
    found = finished(fit(local(), records(noisy(3)), **ASK, members=2))
    again = Fitted.from_json(json.loads(json.dumps(found.to_json())))
    assert same(again, found)
    assert again.key == found.key
    assert again.to_json() == found.to_json()
    book = found.book
    others = [
        replace(found, book=book.named(["P"])),
        replace(found, book=replace(book, spread=book.spread * (1 + 1e-15))),
        replace(found, book=replace(book, last_mean=book.last_mean + 1e-7)),
        replace(found, ensemble=found.ensemble[:1]),
        replace(found, ensemble=found.ensemble[::-1]),
    ]
    assert len({found.key, *(o.key for o in others)}) == 6
    assert isinstance(found, IsContent)
    for wrong in (
        {},
        {"book": {}, "ensemble": []},
        found.to_json() | {"book": book.to_json() | {"weights": [1.0]}},
    ):
        with pytest.raises((KeyError, ValueError)):
            Fitted.from_json(wrong)


def test_the_clusters_in_the_folder_of_a_model_are_found_and_others_are_not(tmp_path):
    model = open_model("ecg-resnet")
    found = shipped(model)
    assert found.book.model_sha256 == model.sha256
    assert len(found.ensemble) == 5
    assert shipped(model) is found, "read once"
    assert shipped(open_model("ecg-sic")).key != found.key
    assert shipped(local()) is None
    copy = replace(model, path=tmp_path)
    assert shipped(copy) is None
    named = replace(found, book=found.book.named(["baseline"]))
    named.save(tmp_path / "clusters")
    assert shipped(copy).key == named.key
    found.save(tmp_path / "clusters")
    assert shipped(copy).key == found.key, "changed files are read again"
    assert shipped(replace(copy, sha256="another")) is None


def test_without_members_there_is_a_codebook_alone():
    found = finished(fit(local(), records(noisy(3)), **ASK, members=0))
    assert found.ensemble == ()


# --- invalid input -----------------------------------------------------------------------------------------


def one_sentence(e: BaseException) -> bool:
    return str(e).endswith(".") and "\n" not in str(e) and len(str(e)) < 330


def other_records(rate=100.0, leads=LEADS, steps=STEPS):
    return signal_dataset(np.ones((2, len(leads), steps), np.float32), rate, leads)


@pytest.mark.parametrize(
    ("ds", "options", "said"),
    [
        (pictures(picture()[0]), {}, "needs signal records and the samples have no 'signal'"),
        (other_records(leads=("I", "II")), {}, "expects the 3 leads I, II, V1 and the records have I, II"),
        (
            other_records(leads=("II", "I", "V1")),
            {},
            "expects the 3 leads I, II, V1 and the records have II, I, V1",
        ),
        (other_records(rate=500.0), {}, "expects 640 steps at 100 Hz and the records have 640 at 500 Hz"),
        (other_records(steps=500), {}, "expects 640 steps at 100 Hz and the records have 500 at 100 Hz"),
        (records(noisy(2)), {"per_record": 0}, "0 steps of 4000 records and 5 members were given"),
        (records(noisy(2)), {"per_record": 2}, "5 clusters were requested and 4 positions were drawn"),
    ],
)
def test_what_does_not_fit_is_one_sentence(ds, options, said):
    with pytest.raises(MethodError, match=said) as e:
        finished(fit(local(), ds, **ASK, **options))
    assert one_sentence(e.value)
