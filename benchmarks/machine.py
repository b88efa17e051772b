"""What this machine can do, and what a call costs on it: the yardsticks of the other benchmarks."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numba
import numpy as np
import psutil
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from scipy import fft

WINDOW = 96
"""Side of the windows of `fft_rate`: a chip of 64 px and a search of 16 px on each side of it."""
SHAPES = {"avx512f": (16, 24), "avx2": (8, 12)}
"""Floats in a vector, and independent sums that hide the latency and fit the registers, by processor feature."""
OTHERS = 4, 24


class Cost(NamedTuple):
    """What a call took."""

    cpu: float
    """User and system seconds of the process, all threads, and of its children."""
    wall: float
    """Seconds."""
    memory: float
    """Most resident memory above that at the start, bytes; 0 where it was not watched."""


def cpu_seconds() -> float:
    """User and system time of this process and the children it has waited for."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def measure(function: Callable[[], Any], *, memory: bool = False) -> tuple[Cost, Any]:
    """Call a function once; return its cost and its result."""
    with Watch(memory) as watch:
        wall, cpu = time.perf_counter(), cpu_seconds()
        result = function()
        cost = cpu_seconds() - cpu, time.perf_counter() - wall
    return Cost(*cost, watch.peak - watch.start), result


class Watch:
    """Watches the resident memory of this process, bytes, every two milliseconds while it is entered."""

    def __init__(self, wanted: bool = True) -> None:  # noqa: FBT001, FBT002
        self.start = self.peak = 0
        self._wanted, self._done = wanted, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        if self._wanted:
            give_back()
            self.start = self.peak = psutil.Process().memory_info().rss
            self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._wanted:
            self._done.set()
            self._thread.join()

    def _look(self) -> None:
        process = psutil.Process()
        while not self._done.wait(0.002):
            self.peak = max(self.peak, process.memory_info().rss)


def give_back() -> None:
    """Return freed memory to the system, so that the next to ask for it is seen asking."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def _sums(lanes: int, number: int) -> Callable[[int], float]:
    """Compile `number` independent sums of vectors of `lanes` floats, a fused multiply-add each a turn."""

    @intrinsic
    def loop(_typing: Any, turns: Any) -> Any:
        def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            kind = ir.VectorType(ir.FloatType(), lanes)
            name = f"llvm.fma.v{lanes}f32"
            fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), name)
            factor, term = (ir.Constant(kind, [value] * lanes) for value in (0.5, 0.25))
            sums = [cgutils.alloca_once(builder, kind) for _ in range(number)]
            for k, place in enumerate(sums):
                builder.store(ir.Constant(kind, [float(k + 1)] * lanes), place)
            with cgutils.for_range(builder, arguments[0]):
                for place in sums:
                    builder.store(builder.call(fma, (builder.load(place), factor, term)), place)
            total = builder.load(sums[0])
            for place in sums[1:]:
                total = builder.fadd(total, builder.load(place))
            return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

        return types.float32(turns), emit

    @numba.njit
    def run(turns: int) -> float:
        return loop(turns)

    return run


class FmaRate:
    """Fused multiply-adds of float32 a CPU second of one core, of whichever vectors are fastest."""

    def __init__(self, turns: int = 4_000_000) -> None:
        features = binding.get_host_cpu_features()
        known = [shape for feature, shape in SHAPES.items() if features.get(feature)]
        self.turns = turns
        self.loops = {shape: _sums(*shape) for shape in known or [OTHERS]}
        for loop in self.loops.values():
            loop(1)

    def __call__(self) -> float:
        """Measure once."""
        return max(
            self.turns * lanes * number / measure(lambda loop=loop: loop(self.turns))[0].cpu
            for (lanes, number), loop in self.loops.items()
        )


def fft_rate(number: int = 256) -> float:
    """Real forward transforms of float32 windows a CPU second, by scipy in batches, one thread."""
    windows = np.random.default_rng(0).random((number, WINDOW, WINDOW), np.float32)
    cost, _ = measure(lambda: [fft.rfft2(windows[k : k + 32], workers=1) for k in range(0, number, 32)])
    return number / cost.cpu


def processor() -> str:
    """Name of the processor, as far as the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def load() -> str:
    """How busy the machine is, in words."""
    if not hasattr(os, "getloadavg"):
        return f"{os.cpu_count()} cores"
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
