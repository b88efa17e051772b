"""The scenes of a study that come from the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sensetrack.errors import ConfigError
from sensetrack.workflow.study_scenes import lies_beside

if TYPE_CHECKING:
    from pathlib import Path

    from sensetrack.workflow.fetch import Findings
    from sensetrack.workflow.study_config import FetchConfig, Study


def scenes_of(study: Study, *, allowed: bool) -> list[Path]:
    """Search and fetch the scenes of a study where that is allowed; else return those that were fetched before.

    Raises
    ------
    ConfigError
        Nothing was fetched yet, and it is not allowed.
    EnvironmentFault
        The network, or credentials.
    """
    config = study.config.fetch
    if config is None:
        return []
    folder = study.base / config.folder
    if allowed:
        return _fetched(config, folder)
    found = sorted(folder.glob("*")) if folder.is_dir() else []
    found = [path for path in found if not (path.name.startswith(".") or lies_beside(path.name))]
    if not found and not study.config.scenes.files:
        raise ConfigError("no scene was fetched yet", path=folder, advice="say --fetch, which allows the network")
    return found


def searched(config: FetchConfig) -> Findings:
    """Ask the archive which scenes there are; none is fetched."""
    from sensetrack.acquire.optical import OpticalQuery
    from sensetrack.acquire.scenes import SceneQuery
    from sensetrack.workflow.fetch import find_scenes

    query: OpticalQuery | SceneQuery = (
        OpticalQuery.from_dict(config.query)
        if config.kind == "s2"
        else SceneQuery.from_dict({"kind": config.kind} | config.query)
    )
    return find_scenes(query, config.aoi, count=config.count, which=config.which)


def _fetched(config: FetchConfig, folder: Path) -> list[Path]:
    from sensetrack.workflow.fetch import fetch_scenes

    paths = fetch_scenes(searched(config), folder, token_file=config.token_file)
    return [path for path in dict.fromkeys(paths) if not lies_beside(path.name)]
