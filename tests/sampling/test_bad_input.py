"""A sampling.toml that makes no sense is refused with one clear error."""

import shutil

import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.settings import PACKAGED_CATALOG

SEGMENT = '\n[segments.{name}]\ncolumn = "language"\nvalues = ["de"]\n'


def catalog(folder, old, new):
    """The packaged catalog with a text of sampling.toml replaced."""
    target = folder / "catalog"
    shutil.copytree(PACKAGED_CATALOG, target, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    file = target / "sampling.toml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1) if old else new + text, encoding="utf-8")
    return load_catalog(target)


NORMAL = "[normal]\nrate = 0.1\n"


@pytest.mark.parametrize(
    ("new", "error"),
    [
        ("[normal]\n", "normal.*needs one of rate .* and size"),
        ("[normal]\nrate = 0.1\nsize = 20\n", "normal.*needs one of rate .* and size"),
        ("[normal]\nsize = 20\nfloor = 5\n", "size is a floor already"),
        ("[normal]\nsize = 0\n", r"normal\.size.*greater than or equal to 1, got 0"),
        ("[normal]\nsize = -3\n", r"normal\.size.*got -3"),
        ("[normal]\nsize = 2.5\n", r"normal\.size.*got 2\.5"),
        ("[normal]\nrate = 0.1\nfloor = -1\n", r"normal\.floor.*got -1"),
        ("[normal]\nrate = 0.1\nfloors = 5\n", "did you mean 'floor'"),
        (NORMAL + "[review]\nrate = 0.2\n", r"review\.rate is 0\.2 and normal\.rate 0\.1.*lower the first"),
        (NORMAL + "[review]\nrate = 0\n", r"review\.rate must be in \(0, 1\], got 0"),
        (NORMAL + "[pace]\ncalls_a_day = 0\n", r"pace\.calls_a_day.*got 0"),
        (NORMAL + '[salts]\nnobody = "c2"\n', r"salts\.nobody is no file in judges/"),
        (NORMAL + '[salts]\nrelevance = ""\n', r"salts\.relevance is empty"),
        (NORMAL + SEGMENT.format(name="german"), r"segments\.german.*needs one of rate .* and size"),
        (NORMAL + SEGMENT.format(name="late") + "rate = 0.2\n", r"segments\.late has the name of a stratum"),
        (NORMAL + SEGMENT.format(name="german").replace("language", "mood") + "rate = 0.2\n", r"column.*'mood'"),
    ],
)
def test_rates_and_sizes_that_make_no_sense_are_refused(tmp_path, new, error):
    with pytest.raises(CatalogError, match=rf"(?s)^sampling\.toml: .*({error})"):
        catalog(tmp_path, NORMAL, new)


@pytest.mark.parametrize("minutes", ["0", "7", "2880", "'an hour'"])
def test_a_day_holds_whole_windows(tmp_path, minutes):
    with pytest.raises(CatalogError, match=r"^sampling\.toml: .*window_minutes"):
        catalog(tmp_path, "window_minutes = 60", f"window_minutes = {minutes}")


def test_a_late_rate_is_a_share(tmp_path):
    with pytest.raises(CatalogError, match=r"^sampling\.toml: .*late_rate"):
        catalog(tmp_path, "", "late_rate = 3\n")
