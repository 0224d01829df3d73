"""Serializer fields that take what they say and nothing that merely resembles it."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers


class StrictSerializer(serializers.Serializer[Any]):
    """A request body: unknown fields are an error, so that a misspelt one is never silently dropped."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := [key for key in data if key not in self.fields]):
            message = serializers.ErrorDetail(_("Extra inputs are not permitted"), code="extra_forbidden")
            raise serializers.ValidationError({str(key)[:100]: [message] for key in unknown[:20]})
        return super().to_internal_value(data)


class Text(serializers.CharField):
    """A string, as sent: no number passes for one, nothing is trimmed (services do)."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("trim_whitespace", False)
        kwargs.setdefault("max_length", 100_000)
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class Word(serializers.ChoiceField):
    """One of a few words, which the schema lists. The service judges it: its refusal is the same through every door."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid_choice", input=data)
        return data


class Flag(serializers.BooleanField):
    """``true`` or ``false``."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return bool(data)


class Number(serializers.FloatField):
    """A number; no text passes for one."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        return float(super().to_internal_value(data))


class Object(serializers.DictField):
    """A JSON object of anything."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            self.fail("not_a_dict", input_type=type(data).__name__)
        return data


class Json(serializers.JSONField):
    """Any JSON value. Null is one, which a schema of "anything, or null" would deny."""

    def validate_empty_values(self, data: Any) -> tuple[bool, Any]:
        return (True, None) if data is None else super().validate_empty_values(data)


def tags(**kwargs: Any) -> serializers.ListField:
    """A list of tags."""
    return serializers.ListField(child=Text(max_length=100, allow_blank=True), max_length=100, **kwargs)
