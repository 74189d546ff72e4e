"""The protocol with the browser: newest first, stale requests dropped, failures as a sentence, nothing blocks."""

import asyncio

import pytest

from xai_views.errors import MethodError, XaiViewsError
from xai_views.views import Canvas, Filmstrip, Frame, decode
from xai_views.views.canvas.protocol import Answerer, Wish


def header(data):
    return decode(data).header


class Slow:
    """A provider whose answers wait until they are released."""

    def __init__(self):
        self.asked, self.cancelled, self.gates = [], [], {}

    async def __call__(self, key, priority=0):
        self.asked.append((key, priority))
        gate = self.gates.setdefault(key, asyncio.Event())
        try:
            await gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(key)
            raise
        return Frame(key).to_bytes()


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 10))


def quick(calls):
    async def provider(key):
        calls.append(key)
        return Frame(key).to_bytes()

    return provider


def test_wanted_first_then_prefetch_with_the_wish_s_number():
    async def main():
        sent, calls = [], []
        answerer = Answerer(quick(calls), sent.append)
        answerer.want(Wish(7, "b", ("c", "a", "b")))
        assert not sent  # returned before anything was computed
        await answerer.idle()
        assert calls == ["b", "c", "a"]
        assert [(header(d)["key"], header(d)["seq"]) for d in sent] == [("b", 7), ("c", 7), ("a", 7)]

    run(main())


def test_newest_wins_and_stale_is_dropped():
    async def main():
        sent, slow = [], Slow()
        answerer = Answerer(slow, sent.append)
        answerer.want(Wish(1, "a", ("p", "q")))
        await asyncio.sleep(0.01)
        for seq, key in enumerate("bcd", start=2):
            answerer.want(Wish(seq, key))
        await asyncio.sleep(0.01)
        assert slow.cancelled == ["a"]
        assert [key for key, _ in slow.asked] == ["a", "d"]  # b, c and the neighbours were never started
        slow.gates["d"].set()
        await answerer.idle()
        assert [(header(d)["key"], header(d)["seq"]) for d in sent] == [("d", 4)]

    run(main())


def test_a_wish_for_what_is_being_prefetched_adopts_it():
    async def main():
        sent, slow = [], Slow()
        answerer = Answerer(slow, sent.append)
        answerer.want(Wish(1, "", ("n", "m")))
        await asyncio.sleep(0.01)
        answerer.want(Wish(2, "n"))
        slow.gates["n"].set()
        await answerer.idle()
        assert slow.asked == [("n", 10)]
        assert not slow.cancelled
        assert [(header(d)["key"], header(d)["seq"]) for d in sent] == [("n", 2)]

    run(main())


def test_priority_tells_view_from_neighbour():
    async def main():
        slow = Slow()
        answerer = Answerer(slow, lambda _: None)
        answerer.want(Wish(1, "a", ("b",)))
        for key in "ab":
            await asyncio.sleep(0.01)
            slow.gates[key].set()
        await answerer.idle()
        assert slow.asked == [("a", 0), ("b", 10)]

    run(main())


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (MethodError("the model has no support samples; train one with them."), "The model has no support"),
        (KeyError("secret"), "KeyError"),
    ],
)
def test_failure_becomes_a_sentence_and_the_next_wish_is_answered(error, text, caplog):
    async def main():
        sent = []

        async def provider(key):
            if key == "bad":
                raise error
            return Frame(key).to_bytes()

        answerer = Answerer(provider, sent.append)
        answerer.want(Wish(1, "bad", ("good",)))
        await answerer.idle()
        assert header(sent[0])["key"] == "bad"
        assert text in header(sent[0])["error"]
        assert "secret" not in header(sent[0])["error"]
        assert "Traceback" not in header(sent[0])["error"]
        assert header(sent[1])["key"] == "good"
        assert "error" not in header(sent[1])

    run(main())


def test_a_provider_that_returns_nonsense_is_named():
    async def main():
        sent = []

        async def provider(key):
            return "text"

        answerer = Answerer(provider, sent.append)
        answerer.want(Wish(1, "a"))
        await answerer.idle()
        assert "bytes" in header(sent[0])["error"]

    run(main())


def test_canvas_answers_messages_and_calls_back():
    async def main():
        calls, told = [], []
        canvas = Canvas(quick(calls), order=["s0", "s1", "s2"])
        canvas.on_select(lambda event: told.append(("select", event["row"])))
        canvas.on_position(lambda position: told.append(("position", position)))
        canvas.on_key(lambda key: told.append(("key", key)))
        canvas.on_region(lambda event: told.append(("region", event["polygon"])))
        canvas._handle_msg({"type": "want", "seq": 3, "key": "s1|", "prefetch": ["s2|"]})
        await canvas._answerer.idle()
        assert calls == ["s1|", "s2|"]
        assert header(canvas.frame)["key"] == "s2|"
        before = canvas.jump
        canvas._handle_msg({"type": "position", "position": 1})
        canvas._handle_msg({"type": "select", "row": "r4", "tile": None})
        canvas._handle_msg({"type": "key", "key": "3"})
        canvas._handle_msg({"type": "region", "tile": "t", "polygon": [[0, 0], [1, 0], [1, 1]]})
        canvas._handle_msg({"type": "position", "position": 99})  # not there: ignored
        canvas._handle_msg("nonsense")
        assert told == [("position", 1), ("select", "r4"), ("key", "3"), ("region", [[0, 0], [1, 0], [1, 1]])]
        assert canvas.position == 1
        assert canvas.sample == "s1"
        assert canvas.row == "r4"
        assert canvas.jump == before  # the hand is not sent back to where it was
        _cells = [canvas.get_root(), canvas.get_root()]
        canvas._handle_msg({"type": "position", "position": 1, "view": "a"})
        assert canvas.jump["by"] == "a"  # the other view follows; this one knows that it was itself
        assert (canvas.jump["position"], canvas.jump["n"]) == (1, before.get("n", 0) + 1)
        canvas.sample = "s2"
        assert canvas.jump["position"] == 2
        assert canvas.jump["n"] > before["n"]

    run(main())


def test_settings_of_the_browser_reach_python_only_when_wanted():
    canvas = Canvas(quick([]))
    assert canvas.settings["map"] == "CET_D1A"
    assert not canvas.report_settings
    told = []
    canvas.on_settings(told.append)
    assert canvas.report_settings
    canvas._handle_msg({"type": "settings", "settings": {"opacity": 0.25}})
    assert told[0]["opacity"] == 0.25
    assert canvas.settings["sign"] == "both"
    canvas.compose(sign="for")
    assert canvas.settings["opacity"] == 0.25
    assert canvas.settings["sign"] == "for"


def test_what_is_told_of_a_region_goes_with_the_region_and_the_sample():
    canvas, told = Canvas(quick([]), order=["s0", "s1"]), []
    canvas.on_region(lambda event: told.append((event["polygon"], canvas.chip.get("text", ""))))
    canvas.tell("sample", "4.8 % of the pixels")
    first = canvas.chip
    assert {k: first[k] for k in ("tile", "text", "sample")} == {
        "tile": "sample",
        "text": "4.8 % of the pixels",
        "sample": "s0",
    }
    canvas.tell("sample", "4.8 % of the pixels")
    assert canvas.chip != first  # the same words again are shown again
    canvas._handle_msg({"type": "region", "tile": "sample", "polygon": [[0, 0], [1, 0], [1, 1]]})
    assert told == [([[0, 0], [1, 0], [1, 1]], "")]
    canvas.tell("sample", "now this")
    canvas._handle_msg({"type": "position", "position": 1})
    assert not canvas.chip.get("text")


def test_saving_a_picture_reaches_the_browser_with_a_plain_name():
    canvas = Canvas(quick([]), order=["s0"])
    canvas.save()
    assert (canvas.export["kind"], canvas.export["name"]) == ("png", "s0")
    first = canvas.export
    canvas.save()
    assert canvas.export != first  # twice is two files
    canvas.save("svg", "../a bird: 1")
    assert (canvas.export["kind"], canvas.export["name"]) == ("svg", "a-bird-1")
    with pytest.raises(XaiViewsError, match="png or svg, not as 'pdf'"):
        canvas.save("pdf")


def test_pushing_the_same_bytes_twice_still_fires():
    canvas, seen = Canvas(quick([])), []
    canvas.param.watch(lambda event: seen.append(event.new), "frame")
    data = Frame("k").to_bytes(5)
    canvas.push(data)
    canvas.push(data)
    assert len(seen) == 2
    assert header(seen[1])["key"] == "k"


def test_filmstrip_answers_chunks():
    import numpy as np

    async def main():
        images = np.zeros((300, 20, 30, 3), np.uint8)
        strip = Filmstrip(images, captions=[f"s{i}" for i in range(300)])
        told = []
        strip.on_select(told.append)
        strip._handle_msg({"type": "chunk", "index": 1})
        await strip._task
        out = decode(strip.sprite)
        assert out.header["chunk"] == 1
        assert set(out.photos) == {str(i) for i in range(256, 300)}
        strip._handle_msg({"type": "select", "index": 7})
        strip._handle_msg({"type": "select", "index": 900})
        assert told == [7]
        assert strip.current == 7

    run(main())


def test_one_broken_picture_takes_no_other_with_it(caplog):
    import numpy as np

    def images(indices):
        if 3 in indices:
            raise MethodError("the file '/srv/data set/birds/x.png' is not an image; replace it.")
        if 4 in indices:
            raise OSError("/srv/secret")
        return np.full((len(indices), 20, 30 + 10 * (1 in indices), 3), indices[0], np.uint8)

    async def main():
        strip = Filmstrip(images, count=6)
        strip._handle_msg({"type": "chunk", "index": 0})
        await strip._task
        out = decode(strip.sprite)
        assert set(out.photos) == {"0", "1", "2", "5"}
        assert out.header["broken"] == {
            "3": "the file 'x.png' is not an image; replace it.",
            "4": "this picture could not be read (OSError)",
        }
        assert out.photos["5"][out.photos["5"].shape[0] // 2, 20].tolist() == [5, 5, 5]

    run(main())


@pytest.mark.parametrize(("aspect", "shape"), [(1.0, (112, 112)), (2.0, (112, 224))])
def test_thumbnails_have_the_shape_of_their_place(aspect, shape):
    import numpy as np

    strip = Filmstrip(np.zeros((3, 400, 600, 3), np.uint8), aspect=aspect, size=56)
    out = decode(strip._chunk(0))
    assert out.photos["2"].shape[:2] == shape
