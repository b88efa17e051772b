"""The documentation stays true: names are described, command lines parse, code blocks run.

What only a build can show (executed pages, tables, links between pages) is the task of `make docs`.
"""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import geopandas
import pytest
import yaml
from shapely import box

import sensetrack
from sensetrack import Flag, TrackConfig
from sensetrack.cli import COMMANDS, PARTS, build_app
from sensetrack.cli.seed import BaseCLI
from sensetrack.cli.track import read_setting
from sensetrack.files.cog import write_cog
from sensetrack.grid import Grid
from sensetrack.ot.algorithms import ALGORITHMS
from sensetrack.ot.image_processing import PREPROCESSORS
from sensetrack.ot.simulate import mountain_pair
from sensetrack.products.layers import TRACK_FILES

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts),
    ]
)
MODELS = {
    **ALGORITHMS,
    **{f"preprocess {name}": model for name, model in PREPROCESSORS.items()},
    "track": TrackConfig,
}
PUBLIC = [name for name in sensetrack.__all__ if name != "__version__"]

FENCE = re.compile(r"^(?P<ticks>`{3,}|:{3,})(?P<language>[^\n]*)\n(?P<text>.*?)^(?P=ticks)[ \t]*$", re.M | re.S)
SHELLS = {"bash", "console", "powershell", "sh", "shell"}
DRIVER = re.compile(r"^(?:\$ |> )?(?:uv run (?:--\S+ )*)?(?:\S*[/\\])?(?:python -m )?(?=sensetrack )")


def blocks(page, *languages):
    """Texts of the fenced blocks of a page in some languages."""
    text = page.read_text(encoding="utf-8")
    return [m["text"] for m in FENCE.finditer(text) if m["language"].strip().strip("{}") in languages]


def command_lines():
    """Every `sensetrack ...` line in a shell block, with its page."""
    for page in PAGES:
        for block in blocks(page, *SHELLS):
            for line in re.sub(r"[\\`]\n", " ", block).splitlines():
                if DRIVER.match(line):
                    yield page.relative_to(ROOT).as_posix(), DRIVER.sub("", line)


@pytest.fixture(scope="module")
def app():
    return build_app()


@pytest.fixture(scope="module")
def flags(app):
    """Every option of every command."""
    found = set()
    for name in COMMANDS:
        for command in [app[name][part] for part in PARTS.get(name, ())] or [app[name]]:
            for argument in command.assemble_argument_collection():
                found.update(argument.names)
    for name in ALGORITHMS:  # of the commands of the first release
        found.update(BaseCLI(name).get_parser()._option_string_actions)
    return found | {"--help", "--version"}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_is_described_and_listed(name):
    thing = getattr(sensetrack, name)
    assert (inspect.getdoc(thing) or "").strip(), f"{name} has no docstring"
    listed = (ROOT / "docs/reference/api.md").read_text(encoding="utf-8")
    assert re.search(rf"^   {name}$", listed, re.M), f"{name} is missing in docs/reference/api.md"


@pytest.mark.parametrize("name", PUBLIC)
def test_public_methods_of_a_public_name_are_described(name):
    thing = getattr(sensetrack, name)
    own = vars(thing).items() if inspect.isclass(thing) else ()
    silent = [
        key
        for key, value in own
        if not key.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, (property, classmethod)))
        and key != "model_post_init"
        and not (inspect.getdoc(getattr(value, "__func__", value)) or "").strip()
    ]
    assert not silent, f"{name} has members without docstring: {silent}"


@pytest.mark.parametrize("name", MODELS)
def test_model_and_each_parameter_is_described(name):
    model = MODELS[name]
    assert (vars(model).get("__doc__") or "").strip(), f"{name} has no docstring"
    silent = [key for key, field in model.model_fields.items() if not (field.description or "").strip()]
    assert not silent, f"{name} has parameters without description: {silent}"


def test_each_flag_has_a_meaning_in_the_table_of_flags():
    text = (ROOT / "docs/_ext/living_tables.py").read_text(encoding="utf-8")
    assert [flag.name for flag in Flag if f'"{flag.name}": "' not in text] == []


@pytest.mark.parametrize("file", TRACK_FILES)
def test_each_output_is_explained(file):
    assert f"`{file}`" in (ROOT / "docs/getting-started.md").read_text(encoding="utf-8")


def test_there_are_command_lines_to_check():
    lines = list(command_lines())
    assert len(lines) > 10, "the pages show too few command lines: does the pattern still find them?"
    assert {line.split()[1] for _, line in lines} <= set(COMMANDS)


@pytest.mark.parametrize(("page", "line"), list(command_lines()))
def test_command_line_parses(app, page, line):
    tokens = shlex.split(line, comments=True)[1:]
    command, bound, unused = app.parse_args(tokens, exit_on_error=False, print_error=False)
    assert command.__name__ == tokens[tokens[0] in PARTS]
    assert not unused
    if tokens[0] == "track":  # what the parser leaves as text
        given = bound.arguments
        parameters = {key: given[key] for key in ("chip", "step", "search") if given.get(key)}
        parameters |= dict(read_setting(text) for text in given.get("set_") or [])
        if not given.get("config"):
            TrackConfig(algorithm=given.get("algorithm") or "ncc", parameters=parameters)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_option_named_in_running_text_exists(flags, page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    spans = re.findall(r"`([^`\n]+)`", text)
    named = {flag for span in spans for flag in re.findall(r"(?<![\w-])--[a-z][a-z_-]+", span)}
    assert named <= flags


def yaml_blocks():
    return [(page.relative_to(ROOT).as_posix(), text) for page in PAGES for text in blocks(page, "yaml")]


@pytest.mark.parametrize(("page", "text"), yaml_blocks())
def test_settings_are_valid(page, text):
    TrackConfig.from_dict(yaml.safe_load(text))


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    lost = [
        link for link in links if not link.startswith(("http:", "https:", "mailto:")) and not (ROOT / link).exists()
    ]
    assert not lost


def test_python_on_the_pages_is_executed():
    """By the build: pages show cells; the README is run below."""
    pages = [page for page in PAGES if page.name != "README.md"]
    assert [page.name for page in pages if blocks(page, "python")] == []


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A folder with the files that examples speak of: reference.tif, secondary.tif, stable.gpkg."""
    pair = mountain_pair((260, 280), peak=(3.0, 2.0))
    grid = Grid(pair.reference.shape, (10, 0, 600_000, 0, -10, 4_950_000), "EPSG:32632")
    for name, pixels in (("reference", pair.reference), ("secondary", pair.secondary)):
        write_cog(tmp_path / f"{name}.tif", [("grey", "1", pixels)], grid, tags={}, nodata=float("nan"))
    left, bottom, right, _ = grid.bounds
    frame = geopandas.GeoDataFrame(geometry=[box(left, bottom, right, bottom + 500)], crs=grid.crs)
    frame.to_file(tmp_path / "stable.gpkg", driver="GPKG")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python_in_the_readme_runs(study):
    names = {"__name__": "__main__"}
    for number, block in enumerate(blocks(ROOT / "README.md", "python")):
        exec(compile(block, f"README.md, block {number}", "exec"), names)
