"""How our credentials and our refusals look in the OpenAPI schema. Imported once, which registers both."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """A token in ``Authorization: Bearer`` (or ``X-API-Key``)."""

    target_class = "opensoar.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}


class BrowserScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The session of somebody who signed in to the pages; unsafe methods want the CSRF token."""

    target_class = "opensoar.api.authentication.BrowserAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}


REFUSALS = {
    "401": ("Unauthenticated", "No credentials, or none that open anything"),
    "403": ("Forbidden", "The caller lacks the right"),
    "404": ("Missing", "There is no such thing, or none that the caller may see"),
    "412": ("Stale", "It was changed meanwhile"),
    "422": ("Invalid", "What was sent makes no sense"),
}
DETAIL = {
    "type": "object",
    "description": "A refusal: a sentence, or for a field-level one a list of what is wrong with which field.",
    "properties": {
        "detail": {
            "oneOf": [
                {"type": "string"},
                {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "type": {"type": "string"},
                            "loc": {
                                "type": "array",
                                "items": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
                            },
                            "msg": {"type": "string"},
                        },
                        "required": ["type", "loc", "msg"],
                    },
                },
            ]
        },
        "field": {"type": "string", "description": "The argument at fault, where there is one"},
    },
    "required": ["detail"],
}


def describe_refusals(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Every operation says how it refuses, as all of them do; what an operation says itself stays."""
    components = result["components"]
    components["schemas"]["Refusal"] = DETAIL
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    components["responses"] = {
        name: {"description": text, "content": content} for name, text in REFUSALS.values()
    }
    for path, operations in result["paths"].items():
        for operation in operations.values():
            for status in _statuses(path, operation):
                answer = {"$ref": f"#/components/responses/{REFUSALS[status][0]}"}
                operation["responses"].setdefault(status, answer)
            operation["responses"] = dict(sorted(operation["responses"].items()))
    return result


def _statuses(path: str, operation: dict[str, Any]) -> list[str]:
    if "webhooks" in operation["tags"]:
        return []  # they take whatever comes, and say all of their refusals themselves
    parameters = {parameter["name"] for parameter in operation.get("parameters", ())}
    wanted = {
        "401": "security" in operation,
        "403": "security" in operation,
        "404": "{" in path,
        "412": "If-Match" in parameters,
        "422": "requestBody" in operation or parameters,
    }
    return [status for status, applies in wanted.items() if applies]
