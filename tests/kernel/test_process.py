"""The kernel in a process: imports, the single instance, event loops, program exit."""

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from xai_views.kernel import Kernel, get_kernel, set_kernel

ROOT = str(Path(__file__).parents[2])


def python(code, **environ):
    environ = {**os.environ, "PYTHONPATH": ROOT, **environ}
    return subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60, check=False
    )


def test_importing_the_kernel_imports_neither_torch_nor_panel():
    code = "import sys, xai_views.kernel; print([m for m in ('torch', 'panel', 'bokeh') if m in sys.modules])"
    assert python(code).stdout.strip() == "[]"


def test_a_program_ends_cleanly_while_the_worker_is_busy():
    code = """
import threading
from xai_views.kernel import get_kernel
kernel, inside = get_kernel(), threading.Event()
def chunks(progress):
    inside.set()
    while True:
        progress(0, 1)
        yield
kernel.run(chunks)
assert inside.wait(30)
kernel.run(print, channel="waits", priority=10)
print(kernel.status().device)
"""
    done = python(code, XAI_VIEWS_DEVICE="cpu")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "cpu", "")


@pytest.fixture
def alone(monkeypatch):
    previous = set_kernel(None)
    monkeypatch.setenv("XAI_VIEWS_DEVICE", "cpu")
    yield
    made = set_kernel(previous)
    if made is not None:
        made.close()


def test_one_kernel_per_process_even_when_all_ask_at_once(alone):
    barrier, kernels = threading.Barrier(8), []

    def ask():
        barrier.wait(20)
        kernels.append(get_kernel())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(set(map(id, kernels))) == 1
    kernels[0].run(lambda progress: None).result(20)
    assert kernels[0].status().device == "cpu"


def test_the_environment_chooses_the_device(alone, monkeypatch):
    monkeypatch.setenv("XAI_VIEWS_DEVICE", "nonsense")
    with pytest.raises(ValueError, match="nonsense"):
        get_kernel()
    monkeypatch.setenv("XAI_VIEWS_DEVICE", "")
    assert get_kernel().status().device in {"auto", "cpu", "cuda", "mps"}


def test_set_kernel_and_a_new_one_after_close(alone):
    with Kernel(device="cpu") as mine:
        assert set_kernel(mine) is None
        assert get_kernel() is mine
    assert get_kernel() is not mine


async def test_await_while_the_loop_stays_alive(bench, method):
    method.gate.clear()
    future = bench.ask(method, 1)
    waiting = asyncio.wrap_future(future)
    await asyncio.to_thread(method.wait_entered)
    ticks = []
    asyncio.get_running_loop().call_soon(lambda: (ticks.append(1), method.gate.set()))
    results = await asyncio.wait_for(waiting, 20)
    assert ticks == [1]
    assert float(results[0]["logit"][0, 0]) == 1


async def test_cancelling_the_asyncio_future_cancels_the_request(bench, method):
    release = bench.hold()
    queued = bench.ask(method, 1)
    task = asyncio.wrap_future(queued)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)  # asyncio passes on the cancellation in its next iteration
    assert queued.cancelled()
    release()
    bench.kernel.wait_idle(20)
    assert method.calls == []


async def test_cancelling_a_task_whose_batch_is_running(make_bench, method):
    bench = make_bench(max_batch=1)
    method.gate.clear()
    task = asyncio.ensure_future(asyncio.wrap_future(bench.ask(method, 1, 2)))
    await asyncio.to_thread(method.wait_entered)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)  # asyncio passes on the cancellation in its next iteration
    method.gate.set()
    bench.kernel.wait_idle(20)
    assert method.calls == [[1]]
    assert method.interpreted == []


async def test_a_superseded_await_ends(bench, method):
    release = bench.hold()
    older = asyncio.wrap_future(bench.ask(method, 1, channel="s"))
    newer = asyncio.wrap_future(bench.ask(method, 2, channel="s"))
    release()
    with pytest.raises(asyncio.CancelledError):
        await older
    assert len(await newer) == 1


async def test_failures_arrive_in_the_loop(bench, method):
    def broken(numbers):
        raise ValueError("no")

    method.on_observe = broken
    with pytest.raises(ValueError, match="Fake failed"):
        await asyncio.wrap_future(bench.ask(method, 1))
