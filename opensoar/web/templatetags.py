"""Template builtins (registered in settings): what every page needs to show values."""

from __future__ import annotations

from django import template

register = template.Library()
