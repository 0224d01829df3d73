"""Secrets at rest."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from opensoar.crypto import SecretsError, decrypt, encrypt


def test_what_was_sealed_opens_for_the_same_row_only() -> None:
    sealed = encrypt(b"key", context="row-1")
    assert b"key" not in sealed
    assert decrypt(memoryview(sealed), context="row-1") == b"key"
    with pytest.raises(SecretsError, match="another row"):
        decrypt(sealed, context="row-2")


def test_two_seals_of_one_secret_differ() -> None:
    assert encrypt(b"key", context="r") != encrypt(b"key", context="r")


@pytest.mark.parametrize(
    "damage", [lambda s: s[:-1], lambda s: s[:5], lambda s: s[:20] + b"\x00" + s[21:] + b"x"]
)
def test_damaged_bytes_are_refused(damage: object) -> None:
    with pytest.raises(SecretsError):
        decrypt(damage(encrypt(b"key", context="r")), context="r")  # type: ignore[operator]


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(SecretsError, match="format"):
        decrypt(b"\x09whatever", context="r")


def test_another_key_does_not_open_and_no_key_says_what_to_set(settings: Settings) -> None:
    sealed = encrypt(b"key", context="r")
    settings.SECRETS_KEY = "another key altogether"
    with pytest.raises(SecretsError, match="OPENSOAR_SECRETS_KEY"):
        decrypt(sealed, context="r")
    settings.SECRETS_KEY = ""
    with pytest.raises(SecretsError, match="Set OPENSOAR_SECRETS_KEY"):
        encrypt(b"key", context="r")
