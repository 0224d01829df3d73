"""JSON bodies, read strictly: UTF-8, no NaN, not too large, not too deep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import orjson
from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

MAX_DEPTH = 64


class TooLarge(APIException):
    """413."""

    status_code = 413
    default_detail = "The body is too large"
    default_code = "too_large"


class StrictJSONParser(BaseParser):
    """``application/json`` of at most ``DATA_UPLOAD_MAX_MEMORY_SIZE`` bytes and 64 levels."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """The value; 400 for what is no JSON, 413 for what is too large."""
        limit: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 1_048_576
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise TooLarge(_("The body is larger than %(limit)d bytes") % {"limit": limit})
        try:
            value = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise ParseError(_("Not JSON: %(why)s") % {"why": error}) from None
        if _deeper_than(value, MAX_DEPTH):
            raise ParseError(_("More than %(limit)d levels deep") % {"limit": MAX_DEPTH})
        return value


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value]
    for _depth in range(limit + 1):
        level = [
            item
            for holder in level
            if isinstance(holder, dict | list)
            for item in (holder.values() if isinstance(holder, dict) else holder)
        ]
        if not level:
            return False
    return True
