"""The registry refuses duplicates and names both places; a spec knows what its function asks for."""

import pytest

from opensoar import action, playbook
from playbooks_engine.registry import DuplicatePlaybook, Registry, collecting


def declare(registry, name, **options):
    async def function(alert): ...

    with collecting(registry):
        return playbook(name=name, **options)(function)


def test_decorators_register_only_while_a_loader_collects():
    registry = Registry()
    declare(registry, "first", order=20)
    declare(registry, "second", order=10, aliases=["former"])

    @playbook(name="outside")
    async def outside(alert): ...

    assert list(registry.playbooks) == ["first", "second"]
    assert registry.get("former") is registry.playbooks["second"]
    assert registry.get("outside") is None
    assert [spec.name for spec in registry.ordered()] == ["second", "first"]
    with pytest.raises(TypeError):
        registry.playbooks["third"] = None


def test_order_ties_are_broken_by_name():
    registry = Registry()
    for name in ("b", "c", "a"):
        declare(registry, name)
    assert [spec.name for spec in registry.ordered()] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"name": "same"}, {"name": "same"}),
        ({"name": "one", "aliases": ["same"]}, {"name": "same"}),
        ({"name": "same"}, {"name": "two", "aliases": ["same"]}),
        ({"name": "one", "aliases": ["same"]}, {"name": "two", "aliases": ["same"]}),
    ],
)
def test_a_name_is_given_once(first, second):
    registry = Registry()
    declare(registry, **first)
    with pytest.raises(DuplicatePlaybook, match=rf"'same' is taken twice.*{__file__}:\d+.*{__file__}:\d+"):
        declare(registry, **second)


@pytest.mark.parametrize("aliases", [["same"], ["old", "old"]])
def test_a_playbook_s_own_names_differ(aliases):
    with pytest.raises(ValueError, match="must all differ"):
        declare(Registry(), "same", aliases=aliases)


def test_actions_are_listed_and_may_share_a_name():
    registry = Registry()
    with collecting(registry):
        for _ in range(2):

            @action(name="look_up", retries=1)
            async def function(): ...

    assert [(spec.name, spec.retries) for spec in registry.actions] == [("look_up", 1)] * 2


def test_a_registry_takes_over_another_whole_or_not_at_all():
    target, taken, free = Registry(), Registry(), Registry()
    declare(target, "same")
    declare(taken, "new")
    declare(taken, "same")
    declare(free, "other", aliases=["former"])
    with pytest.raises(DuplicatePlaybook, match="taken twice"):
        target.include(taken, source_file="b.py", module_path="books.b")
    assert list(target.playbooks) == ["same"]
    assert target.get("new") is None
    [spec] = target.include(free, source_file="c.py", module_path="books.c")
    assert (spec.source_file, spec.module_path) == ("c.py", "books.c")
    assert target.get("former") is spec
    assert free.get("former").source_file == __file__


def test_specs_cannot_be_changed():
    registry = Registry()
    declare(registry, "fixed")
    with pytest.raises(AttributeError):
        registry.playbooks["fixed"].order = 1


# --- what a playbook function may ask for ------------------------------------------------------


def spec_of(function):
    return playbook()(function).opensoar_playbook


def test_arguments_are_bound_by_name():
    async def one(anything): ...
    async def optional(event=None): ...
    async def named(alert, input): ...
    async def alert_only(alert): ...
    async def incident_only(incident): ...
    async def none(): ...
    async def with_default(alert, limit=5, *rest, **more): ...

    values = {"alert": "A", "input": {"k": 1}}
    assert spec_of(one).bind("S", values) == {"anything": "S"}
    assert spec_of(optional).bind("S", values) == {"event": "S"}
    assert spec_of(named).bind("S", values) == {"alert": "A", "input": {"k": 1}}
    assert spec_of(alert_only).bind("S", {}) == {"alert": "S"}
    assert spec_of(none).bind("S", values) == {}
    assert spec_of(with_default).bind("S", values) == {"alert": "A"}
    assert spec_of(alert_only).bind("A", values) == {"alert": "A"}
    assert spec_of(incident_only).bind("A", values) == {"incident": None}


def test_parameters_nobody_can_fill_are_refused():
    async def two(alert, config): ...
    async def positional_only(alert, /): ...

    with pytest.raises(TypeError, match=r"parameter 'config'.*alert, incident, observable, input"):
        playbook()(two)
    with pytest.raises(TypeError, match="positional-only"):
        playbook()(positional_only)
