"""What archives answer to a search, in their own forms: made from their published schemas, with names of our own."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

from loopback import Reply, Request

POOL = "https://datapool.asf.alaska.edu"


def scene_item(
    platform: str, start: str, *, orbit: int, track: int = 100, frame: int = 830, size: int = 4_000, md5: str = ""
) -> dict[str, Any]:
    """Return an entry of the Common Metadata Repository (UMM-G JSON) for a Sentinel-1 SLC."""
    begin = datetime.fromisoformat(start).replace(tzinfo=UTC)
    end = begin + timedelta(seconds=27)
    name = f"{platform}_IW_SLC__1SSH_{begin:%Y%m%dT%H%M%S}_{end:%Y%m%dT%H%M%S}_{orbit:06d}_0ABCDE_{orbit % 65536:04X}"
    more = {
        "ASCENDING_DESCENDING": "DESCENDING", "PATH_NUMBER": str(track), "PROCESSING_TYPE": "SLC", "BYTES": str(size),
        "MD5SUM": md5, "FRAME_NUMBER": str(frame), "CENTER_ESA_FRAME": str(frame), "POLARIZATION": "HH",
        "ASF_PLATFORM": {"S1A": "Sentinel-1A", "S1B": "Sentinel-1B", "S1C": "Sentinel-1C"}[platform],
        "CENTER_LAT": "-70.1", "CENTER_LON": "39.0",
    }  # fmt: skip
    corners = [(38.0, -70.6), (40.0, -70.6), (40.0, -69.6), (38.0, -69.6), (38.0, -70.6)]
    return {
        "meta": {"concept-id": f"G{orbit}-ASF", "collection-concept-id": "C1214470488-ASF"},
        "umm": {
            "GranuleUR": f"{name}-SLC",
            "TemporalExtent": {
                "RangeDateTime": {
                    "BeginningDateTime": f"{begin:%Y-%m-%dT%H:%M:%SZ}", "EndingDateTime": f"{end:%Y-%m-%dT%H:%M:%SZ}"
                }
            },
            "AdditionalAttributes": [{"Name": key, "Values": [value]} for key, value in more.items()],
            "RelatedUrls": [{"Type": "GET DATA", "URL": f"{POOL}/SLC/{name}.zip"}],
            "DataGranule": {"Identifiers": [{"IdentifierType": "ProducerGranuleId", "Identifier": name}]},
            "OrbitCalculatedSpatialDomains": [{"OrbitNumber": orbit}],
            "CollectionReference": {"ShortName": f"SENTINEL-1{platform[-1]}_SLC"},
            "Platforms": [{"ShortName": f"Sentinel-1{platform[-1]}", "Instruments": [{"ShortName": "C-SAR"}]}],
            "SpatialExtent": {
                "HorizontalSpatialDomain": {
                    "Geometry": {
                        "GPolygons": [
                            {"Boundary": {"Points": [{"Longitude": lon, "Latitude": lat} for lon, lat in corners]}}
                        ]
                    }
                }
            },
        },
    }  # fmt: skip


def repository(items: list[dict[str, Any]]) -> Any:
    """Return the repository: it gives what it has, in pages, and the question can be looked at afterwards."""

    def answer(request: Request) -> Reply:
        if not request.path.startswith("/search/granules"):
            return Reply(b"{}", 404)
        asked = parse_qs(request.body.decode())
        wanted = asked.get("short_name[]", [])
        there = [item for item in items if not wanted or item["umm"]["CollectionReference"]["ShortName"] in wanted]
        return Reply.of_json({"hits": len(there), "items": there})

    return answer


def bucket(keys: list[str], contents: dict[str, bytes], *, page: int = 3) -> Any:
    """Return a public bucket: lists of at most `page` keys, and its files."""

    def answer(request: Request) -> Reply:
        if request.path != "/":
            content = contents.get(request.path.lstrip("/"))
            return Reply(b"<Error/>", 404) if content is None else Reply(content)
        prefix = request.query.get("prefix", [""])[0]
        after = request.query.get("start-after", [""])[0]
        fitting = [key for key in sorted(keys) if key.startswith(prefix) and key > after]
        entries = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in fitting[:page])
        more = str(len(fitting) > page).lower()
        text = (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>s1-orbits</Name><IsTruncated>{more}</IsTruncated>{entries}</ListBucketResult>"
        )
        return Reply(text.encode(), headers={"Content-Type": "application/xml"})

    return answer


def optical_catalogue(items: list[dict[str, Any]]) -> Any:
    """Return a STAC catalogue that gives what it has of the clouds and the tile that are asked for."""
    root = "https://earth-search.aws.element84.com/v1"
    conforms = "https://api.stacspec.org/v1.0.0/"

    def answer(request: Request) -> Reply:
        if request.path.rstrip("/") == "/v1":
            return Reply.of_json(
                {
                    "type": "Catalog", "id": "earth-search-aws", "stac_version": "1.0.0", "description": "answers",
                    "conformsTo": [f"{conforms}core", f"{conforms}item-search", f"{conforms}item-search#query"],
                    "links": [
                        {"rel": "self", "type": "application/json", "href": root},
                        {"rel": "root", "type": "application/json", "href": root},
                        {"rel": "search", "type": "application/geo+json", "href": f"{root}/search", "method": "GET"},
                        {"rel": "search", "type": "application/geo+json", "href": f"{root}/search", "method": "POST"},
                    ],
                }
            )  # fmt: skip
        asked = json.loads(request.body)
        clouds = asked["query"]["eo:cloud_cover"]["lte"]
        tile = asked["query"].get("grid:code", {}).get("eq")
        there = [
            item
            for item in items
            if item["properties"]["eo:cloud_cover"] <= clouds and tile in {None, item["properties"]["grid:code"]}
        ]
        return Reply.of_json({"type": "FeatureCollection", "features": there, "links": []})

    return answer


def optical_item(
    platform: str, moment: str, *, tile: str = "32TLR", clouds: float = 5.0, orbit: int = 8
) -> dict[str, Any]:
    """Return an entry of the catalogue for a Sentinel-2 L2A scene."""
    taken = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    name = f"{platform}_{tile}_{taken:%Y%m%d}_0_L2A"
    ring = [[7.6, 46.0], [9.0, 46.0], [9.0, 46.9], [7.6, 46.9], [7.6, 46.0]]
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": "sentinel-2-l2a", "links": [],
        "geometry": {"type": "Polygon", "coordinates": [ring]}, "bbox": [7.6, 46.0, 9.0, 46.9],
        "properties": {
            "datetime": f"{taken:%Y-%m-%dT%H:%M:%SZ}", "platform": f"sentinel-{platform[1:].lower()}",
            "eo:cloud_cover": clouds, "grid:code": f"MGRS-{tile}", "sat:relative_orbit": orbit,
        },
        "assets": {
            "nir": {"href": f"https://sentinel-cogs.s3.us-west-2.amazonaws.com/{name}/B08.tif", "type": "image/tiff"},
            "red": {"href": f"https://sentinel-cogs.s3.us-west-2.amazonaws.com/{name}/B04.tif", "type": "image/tiff"},
        },
    }  # fmt: skip
