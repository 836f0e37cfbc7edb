"""The page of settings says what the service takes."""

import dataclasses
import re
from pathlib import Path

from stockade_embedding_cache.settings import CacheSettings
from stockade_rpckit.settings import ServiceSettings

PAGE = (Path(__file__).parents[3] / "docs/embedding-cache.md").read_text()


def test_every_setting_stands_in_the_page_with_its_default() -> None:
    shared = {field.name for field in dataclasses.fields(ServiceSettings)}
    own = [field for field in dataclasses.fields(CacheSettings) if field.name not in shared]
    told = dict(re.findall(r"^\| `([A-Z_]+)` \| `([^`]+)` \|", PAGE, re.MULTILINE))
    assert told == {field.name.upper(): _text(field.default) for field in own}


def _text(default: object) -> str:
    return ",".join(default) if isinstance(default, tuple) else str(default)
