"""How the documentation is built: `make docs`, or ``sphinx-build -W -b html docs docs/_build/html``.

Nothing is fetched while building, and every cell and example is executed anew: a page that no longer tells
the truth breaks the build.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
os.environ["PYTHONWARNINGS"] = "error::DeprecationWarning:sensetrack"
os.environ["MPLBACKEND"] = "agg"

import sensetrack

project = "sensetrack"
author = "The sensetrack developers"
project_copyright = "The sensetrack developers"
version = release = sensetrack.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
    "living_tables",
]
templates_path = ["_templates"]
exclude_patterns = [
    "_build",
    "accuracy.md",  # tables without a heading: howto/choose-an-algorithm.md includes them
    "**/.ipynb_checkpoints",
    "gallery/*.ipynb",
    "gallery/*.py",
    "gallery/*.codeobj.json",
]
suppress_warnings = ["config.cache"]  # the gallery's configuration holds functions
default_role = "code"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_timeout = 60
nb_execution_raise_on_error = True
nb_merge_streams = True

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings name types and units
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": "plot_",
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "remove_config_comments": True,
    "abort_on_example_error": True,
    "min_reported_time": 1e9,
}

html_theme = "pydata_sphinx_theme"
html_title = "sensetrack"
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
