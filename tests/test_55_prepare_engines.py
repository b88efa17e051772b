"""`sensetrack prepare` with its two engines: what is for one is refused by the other."""

import pytest

from sensetrack.cli import run as cli

NAME = "S1A_IW_SLC__1SDV_20230101T053452_20230101T053519_046594_059583_AE45.zip"
GRAPH = ["--engine", "snap", "--graph", "s1_slc_default_noSF"]


@pytest.fixture
def product(tmp_path):
    path = tmp_path / NAME
    path.write_bytes(b"PK")
    return path


def run(*arguments):
    return cli(["prepare", *map(str, arguments)])


def test_dry_run_writes_the_filled_graph_only(product, tmp_path, capsys):
    out = tmp_path / "maps"
    code = run(product, "-o", out, *GRAPH, "--aoi", "10.2,46.1,10.4,46.3", "--resolution", 20, "--looks", "2,7",
               "--set", "demName=SRTM 1Sec HGT", "--dry-run")  # fmt: skip
    written = list(out.iterdir())
    assert code == 0, capsys.readouterr().err
    assert [path.suffixes[-2:] for path in written] == [[".graph", ".xml"]]
    text = written[0].read_text()
    assert "<nAzLooks>2<" in text.replace(" ", "")
    assert "<nRgLooks>7<" in text.replace(" ", "")
    assert "<demName>SRTM 1Sec HGT<" in text
    assert "${" not in text
    assert str(written[0]) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--set", "pixelSpacing=10"], 2, "--set is for engine snap"),
        (["--dry-run"], 2, "--dry-run is for engine snap"),
        ([*GRAPH, "--orbits", "folder"], 2, "--orbits is for engine native"),
        (["--engine", "snap"], 2, "engine snap needs a graph"),
        ([*GRAPH, "--looks", "x"], 2, "looks"),
        ([*GRAPH, "--set", "novalue"], 2, "novalue"),
    ],
)
def test_what_does_not_fit_is_refused(product, tmp_path, capsys, arguments, code, said):
    assert run(product, "-o", tmp_path / "maps", *arguments) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "maps").exists()


def test_several_products_need_a_folder(product, tmp_path, capsys):
    assert run(product, product, "-o", tmp_path / "map.tif") == 2
    assert "must be a folder for 2 products" in capsys.readouterr().err


def test_a_product_is_needed(tmp_path, capsys):
    assert run("-o", tmp_path / "maps") == 2
    assert "at least one product" in capsys.readouterr().err
