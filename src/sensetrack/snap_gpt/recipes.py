"""The graphs by name, what each is for, and what is filled in where the user says nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from sensetrack.errors import ConfigError
from sensetrack.graphs import GRAPHS_WD
from sensetrack.ot.parameters import brief


class SARPreprocessing(Enum):
    """Names of the graphs, as the first release has them; the value is the name of the file."""

    S2_L2A_DFLT = "s2_l2a_default"
    S1_IW_GRD_DFLT = "s1_grd_default"
    S1_IW_SLC_DFLT = "s1_slc_default"
    S1_IW_SLC_DFLT_B3 = "s1_slc_default+b3"
    S1_IW_SLC_DFLT_NOSF = "s1_slc_default_noSF"
    S1_IW_SLC_DFLT_B3_NOSF = "s1_slc_default+b3noSF"
    COSMO_HIMAGE_SLCB_DFLT = "cosmo_scs-b_default"

    @property
    def path(self) -> Path:
        """File of the graph."""
        return GRAPHS_WD / f"{self.value}.xml"

    @classmethod
    def validate(cls, name: str) -> Path:
        """Return the file of a graph, called by its name here (in any case) or by that of its file.

        Raises
        ------
        ConfigError
            There is none of this name; those there are are named.
        """
        for member in cls:
            if name in (member.value, member.name) or name.upper() == member.name:
                return member.path
        message = f"there is no graph {brief(name)}; there are {', '.join(sorted(member.value for member in cls))}"
        raise ConfigError(message, advice="or give the path of a graph of your own")


MEANINGS = {
    "input": "file of the product",
    "output": "file of the result",
    "nRgLooks": "looks in range",
    "nAzLooks": "looks in azimuth",
    "mapProjection": "CRS of the result, such as EPSG:32632",
    "pixelSpacing": "pixel of the result, m",
    "geoRegion": "area of interest, well-known text in longitude and latitude",
    "demName": "elevation model that SNAP fetches, or External DEM",
    "externalDEMFile": "file of your own elevation model",
    "externalDEMNoDataValue": "its nodata value",
    "externalDEMApplyEGM": "true where its heights are above the geoid",
    "copol": "co-polarised channel, VV or HH",
    "crosspol": "cross-polarised channel, VH or HV",
    "offset": "added to the reflectances that SNAP reads: 0, or -0.1 from baseline 04.00 on",
}
"""What the parameters of our graphs say."""

_TERRAIN = {
    "demName": "Copernicus 30m Global DEM",
    "externalDEMFile": "",
    "externalDEMNoDataValue": "0",
    "externalDEMApplyEGM": "true",
}


@dataclass(frozen=True)
class Recipe:
    """What our graph of a name takes, and what it is given where the user says nothing."""

    takes: str
    """Regular expression that the names of fitting products match."""
    what: str
    defaults: dict[str, str] = field(default_factory=dict)


_SLC = {"nRgLooks": "4", "nAzLooks": "1", "pixelSpacing": "15", **_TERRAIN}
"""4 x 1 looks are what the estimate says beyond 35 degrees from the vertical; IW goes from 31 to 46."""
RECIPES = {
    "s2_l2a_default": Recipe(r"S2[A-D]_MSIL2A_", "Sentinel-2 L2A"),
    "s1_grd_default": Recipe(r"S1[A-D]_\w\w_GRD\w_1S", "Sentinel-1 GRD", {"pixelSpacing": "10", **_TERRAIN}),
    "s1_slc_default": Recipe(r"S1[A-D]_IW_SLC__1S", "Sentinel-1 IW SLC", _SLC),
    "s1_slc_default_noSF": Recipe(r"S1[A-D]_IW_SLC__1S", "Sentinel-1 IW SLC", _SLC),
    "s1_slc_default+b3": Recipe(r"S1[A-D]_IW_SLC__1SD", "Sentinel-1 IW SLC of two polarisations", _SLC),
    "s1_slc_default+b3noSF": Recipe(r"S1[A-D]_IW_SLC__1SD", "Sentinel-1 IW SLC of two polarisations", _SLC),
    "cosmo_scs-b_default": Recipe(
        r"(CSKS\d_SCS_B_|CSG_SSAR\d_SCS_B_)",
        "COSMO-SkyMed SCS_B",
        {"nRgLooks": "1", "nAzLooks": "2", "pixelSpacing": "5", **_TERRAIN},
    ),
}
_S1 = re.compile(r"S1[A-D]_\w\w_\w{4}_\w\w(?P<polarisation>SH|SV|DH|DV)_")
_S2 = re.compile(r"S2[A-D]_MSIL2A_\d{8}T\d{6}_N(?P<baseline>\d{4})_")


def defaults_for(graph: str, product: str) -> dict[str, str]:
    """Return values that follow from the name of one of our graphs and the name of a product.

    Parameters
    ----------
    graph : str
        Name of the graph; of one that is not ours nothing is known but what the name of the product says.
    product : str
        Name of the product.

    Returns
    -------
    dict
        Parameter -> value.
    """
    values: dict[str, str] = dict(RECIPES[graph].defaults) if graph in RECIPES else {}
    if found := _S1.match(product):
        values["copol"], values["crosspol"] = ("HH", "HV") if found["polarisation"][1] == "H" else ("VV", "VH")
    if (found := _S2.match(product)) and found["baseline"].isdecimal():
        values["offset"] = "-0.1" if int(found["baseline"]) >= 400 else "0"
    return values


def misfit(graph: str, product: str) -> str | None:
    """Say in a sentence why a product does not fit one of our graphs; None where it does, or nothing is known."""
    recipe = RECIPES.get(graph)
    if recipe is None or re.match(recipe.takes, product):
        return None
    return f"graph {graph} takes {recipe.what}, and the product does not look like one by its name"


def steps_to_leave_out(graph: str, product: str) -> dict[str, str]:
    """Return operators that cannot be used with a product, each with the reason."""
    if graph == "cosmo_scs-b_default" and product.startswith("CSG_"):
        return {"Calibration": "SNAP does not calibrate the second generation: backscatter is relative"}
    return {}


def describe(name: str) -> dict[str, Any]:
    """Return what one of our graphs is, as plain values."""
    from sensetrack.snap_gpt.graph import Graph

    graph = Graph.of(name)
    known = RECIPES[graph.name].defaults if graph.name in RECIPES else {}
    return {
        "name": graph.name,
        "about": graph.about,
        "steps": list(graph.operators),
        "parameters": [
            {"name": one, "default": known.get(one), "description": MEANINGS.get(one)} for one in graph.parameters
        ],
    }
