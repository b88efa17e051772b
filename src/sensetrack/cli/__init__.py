"""The `sensetrack` command; the only room that sets exit codes and logging."""

from __future__ import annotations

import gc
import logging
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from sensetrack.errors import SenseTrackError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cyclopts import App

COMMANDS = {
    "demo": "Track a landslide whose truth is known; needs no data and no network.",
    "track": "Measure how the ground moved between two scenes and write the whole product.",
    "algorithms": "List the algorithms, or describe one: parameters, defaults, units.",
    "preprocessors": "List the filters that can go before an algorithm, or describe one.",
    "info": "Say what a product is: size, bands, where and when.",
    "slc": "Measure how the ground moved between two Sentinel-1 SLCs: radar geometry and map.",
    "run": "Do a whole study from one file: many pairs, time series, a report; stopped, it goes on.",
    "decompose": "Tell motion east, north and up apart: ascending, descending, optical results.",
    "stack": "Turn many pairs into series of dates and one velocity, with standard errors.",
    "prepare": "Write products as GeoTIFFs that can be tracked: reflectance or backscatter on a map.",
    "fetch": "Search and fetch scenes, orbit files and elevation models from the network.",
    "isce2": "Check settings of ISCE2's topsApp, go on with a run of it, clean up after one.",
    "graphs": "List the graphs for SNAP, or describe one: steps, parameters, defaults.",
    "doctor": "Report versions, drivers, other programs, credentials present, cores, space.",
}
"""Names and one-line helps; the modules behind them are imported only when they are called."""
PARTS = {"fetch": ("scenes", "orbits", "dem"), "isce2": ("check", "run", "clean")}
"""Commands that are several."""
_MODULES = {"preprocessors": "algorithms", "run": "study"}
"""Where a command is that does not live in a module of its name."""


def build_app() -> App:
    """Return the command line; the code behind a command is imported when it is called."""
    from cyclopts import App

    import sensetrack

    app = App(
        name="sensetrack",
        help="Two satellite scenes in, a trustworthy map of how the ground moved out.",
        help_epilogue=(
            "Exit codes: 0 done, 2 usage or configuration, 3 bad input, 4 a batch with failed pairs, "
            "5 environment (disk, permission, memory, another program), 130 or 143 interrupted, 1 our bug."
        ),
        version=sensetrack.__version__,
        help_format="plaintext",
    )
    for place, (name, text) in enumerate(COMMANDS.items()):
        module = _MODULES.get(name, name)
        app.command(f"sensetrack.cli.{module}:{name}", name=name, help=text, sort_key=place)
    return app


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code; errors become one line on stderr."""
    return guarded(_call, list(sys.argv[1:] if arguments is None else arguments))


def guarded(call: Callable[[list[str]], int], tokens: list[str]) -> int:  # noqa: PLR0911  one for each way to end
    """Call with the words of a command line; every exception becomes one line on stderr and an exit code."""
    debug = "--debug" in tokens
    _set_up_logging(tokens)
    try:
        return call(tokens)
    except SenseTrackError as error:
        return _report(str(error), error.exit_code, debug=debug)
    except KeyboardInterrupt:
        return _report("interrupted", 128 + (_signals or [signal.SIGINT])[0], debug=False)
    except MemoryError:
        return _report("out of memory; use fewer --workers or an area of interest", 5, debug=debug)
    except BrokenPipeError:  # `sensetrack ... | head`: the reader has seen enough
        sys.stdout = None  # closing it would fail once more
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _report(f"{where}{error.strerror or error}", 5, debug=debug)
    except Exception as error:
        cause = f"{type(error).__name__}: {error}"
        if "Insufficient memory" in cause:
            return _report("out of memory; use fewer --workers or an area of interest", 5, debug=debug)
        return _report(f"this is a bug in sensetrack ({cause}); run again with --debug and report it", 1, debug=debug)


def _call(tokens: list[str]) -> int:
    from cyclopts.exceptions import CycloptsError

    app = build_app()
    try:
        result: Any = app(
            tokens or ["--help"],
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
    except CycloptsError as error:
        text = one_line(" ".join(str(error).split()))
        return _report(f"{text}; see sensetrack --help", 2, debug=False)
    return int(result) if isinstance(result, int) else 0


def _report(text: str, code: int, *, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    print(f"sensetrack: error: {one_line(text)}", file=sys.stderr)  # noqa: T201
    return code


class _Format(logging.Formatter):
    """One line a message, in the style of the error line."""

    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        return f"sensetrack: {level}{one_line(record.getMessage())}"


def _set_up_logging(tokens: list[str]) -> None:
    level = logging.INFO
    for flag, wanted in (
        ("--quiet", logging.ERROR),
        ("--verbose", logging.DEBUG),
        ("--debug", logging.DEBUG),
    ):
        if flag in tokens:
            level = wanted
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Format())
    logger = logging.getLogger("sensetrack")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(level)


_signals: list[int] = []
"""Numbers of the signals that have asked this process to end."""


def interrupted() -> bool:
    """Tell whether a signal has asked this process to end: an exception is lost where a library calls back."""
    return bool(_signals)


def _end(number: int, _frame: object) -> NoReturn:
    # An exception, so that temporary files are swept up on the way out.
    _signals.append(number)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def main(call: Callable[[], int] = run) -> NoReturn:
    """Entry point of the `sensetrack` command, and of the commands of the first release."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # which nohup and background jobs ask for
        signal.signal(signal.SIGINT, _end)
    if hasattr(signal, "SIGTERM"):
        signal.signal(signal.SIGTERM, _end)
    # Modules and compilers make many objects that stay: looking through them for garbage is a tenth of a short run.
    gc.set_threshold(50_000)
    code = call()
    gc.freeze()  # or everything would be looked through once more at the end, which takes 0.3 s
    sys.exit(code)
