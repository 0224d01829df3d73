"""Loading playbook files: neighbours, versions, errors with their lines, and what reload leaves alone."""

import asyncio
import builtins
import gc
import linecache
import re
import shutil
import sys
import textwrap
import threading
import traceback

import pytest

from playbooks_engine import importer, loader
from playbooks_engine.context import current_run
from playbooks_engine.loader import LoadError, load, load_file, load_version
from playbooks_engine.sources import read_directory, version_hash

from .fake_run import FakeRun

PLAYBOOK = """
from opensoar import playbook
{imports}
@playbook("webhook", name={name!r})
async def {function}(alert):
    return {result}
"""


@pytest.fixture
def folder(tmp_path):
    """A playbook directory, and a function that writes files into it."""
    root = tmp_path / "books"
    root.mkdir()

    def write(**files):
        for name, text in files.items():
            path = root / (name.replace("__", "/").replace("INIT", "__init__") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        return root

    write.root = root
    return write


def playbook_file(name, result="None", imports="", function=None):
    function = function or name.replace("-", "_")
    return PLAYBOOK.format(name=name, function=function, imports=imports, result=result)


def call(registry, name, alert=None):
    return asyncio.run(registry.get(name).func(alert))


def modules():
    return {name for name in sys.modules if name.startswith(importer.PREFIX + ".")}


def only(result):
    [file] = result.files
    return file


# --- what is found -----------------------------------------------------------------------------


def test_files_are_found_by_folder_and_sorted(folder):
    root = folder(
        b=playbook_file("b"),
        a=playbook_file("a"),
        _private=playbook_file("private"),
        sub__c=playbook_file("c"),
        _lib__d=playbook_file("d"),
    )
    (root / ".hidden").mkdir()
    (root / ".hidden" / "x.py").write_text("raise Exception")
    (root / "__pycache__").mkdir()
    (root / "__pycache__" / "x.py").write_text("raise Exception")
    (root / "venv").mkdir()
    (root / "venv" / "pyvenv.cfg").touch()
    (root / "venv" / "x.py").write_text("raise Exception")
    (root / "notes.txt").write_text("not Python")
    result = load([root])
    assert [file.entry for file in result.files] == ["a.py", "b.py", "sub/c.py"]
    assert result.errors == []
    assert sorted(result.registry.playbooks) == ["a", "b", "c"]


def test_specs_say_where_they_stand(folder):
    root = folder(sub__c=playbook_file("c"))
    file = only(load([root]))
    [spec] = file.playbooks
    assert spec == load([root]).registry.get("c")
    assert spec.source_file == file.path == str(root / "sub" / "c.py")
    assert (spec.module_path, spec.function_name, spec.line) == ("books.sub.c", "c", 4)


def test_a_directory_that_is_absent_is_said_clearly(tmp_path, folder):
    root = folder(a=playbook_file("a"))
    (tmp_path / "file").touch()
    result = load([tmp_path / "nowhere", root, tmp_path / "file"])
    assert [file.path for file in result.errors] == [str(tmp_path / "nowhere"), str(tmp_path / "file")]
    assert "nowhere cannot be read: No such file or directory" in result.errors[0].error
    assert list(result.registry.playbooks) == ["a"]


def test_a_directory_named_twice_is_loaded_once(folder):
    root = folder(a=playbook_file("a"), sub__b=playbook_file("b"))
    result = load([root, root / "sub", root])
    assert [file.entry for file in result.files] == ["a.py", "sub/b.py"]
    assert result.errors == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe", "SyntaxError"),
        (b"# coding: nonsense\n", "unknown encoding"),
        (b"x = '\0'", "null bytes"),
        (b"#" * (1 << 20) + b"##", "larger than"),
    ],
)
def test_unreadable_files_are_errors_of_their_own(folder, content, words):
    root = folder(good=playbook_file("good"))
    (root / "bad.py").write_bytes(content)
    result = load([root])
    [bad] = result.errors
    assert bad.entry == "bad.py"
    assert words in bad.error or "UnicodeDecodeError" in bad.error
    assert list(result.registry.playbooks) == ["good"]


def test_other_encodings_are_read(folder):
    root = folder()
    text = "# coding: latin-1\nfrom opensoar import playbook\n@playbook()\nasync def a(alert): return 'é'\n"
    (root / "a.py").write_bytes(text.encode("latin-1"))
    result = load([root])
    assert call(result.registry, "a") == "é"
    assert call(load_version(only(result).sources, "a.py"), "a") == "é"


def test_names_that_cannot_be_imported_are_said(folder):
    root = folder()
    (root / "my.playbook.py").write_text("")
    assert "dot in its name" in only(load([root])).error
    (root / "my.playbook.py").rename(root / "my-playbook.py")
    assert only(load([root])).error is None


# --- neighbours --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("imports", "result"),
    [
        ("import helpers", "helpers.x"),
        ("import helpers as h", "h.x"),
        ("from helpers import x", "x"),
        ("from helpers import *", "x"),
        ("from .helpers import x", "x"),
        ("from . import helpers", "helpers.x"),
        ("import package.deep.module", "package.deep.module.x"),
        ("import package.deep.module as m", "m.x"),
        ("from package.deep import module", "module.x"),
        ("from package.deep.module import x", "x"),
        ("from .package.deep import module", "module.x"),
        ("from package import x", "x"),
        ("from plain.module import x", "x"),
        ("import plain.module", "plain.module.x"),
    ],
)
def test_neighbours_can_be_imported(folder, imports, result):
    root = folder(
        helpers="x = 1",
        package__INIT="from .deep.module import x",
        package__deep__INIT="",
        package__deep__module="from ..sibling import x",
        package__sibling="x = 1",
        plain__module="x = 1",
        a=playbook_file("a", result, imports),
    )
    loaded = load([root])
    assert loaded.errors == []
    assert call(loaded.registry, "a") == 1
    entry = next(file for file in loaded.files if file.entry == "a.py")
    assert call(load_version(entry.sources, "a.py"), "a") == 1
    assert "helpers" not in sys.modules
    assert "package" not in sys.modules


def test_a_version_is_the_file_and_what_it_imports(folder):
    root = folder(
        a=playbook_file("a", imports="import one\nimport package.mod"),
        one="import two",
        two="def later():\n    from three import x\n    return x",
        three="x = 1",
        other="x = 1",
        package__INIT="",
        package__mod="",
        package__unused="",
    )
    entry = next(file for file in load([root]).files if file.entry == "a.py")
    assert list(entry.sources) == [
        "a.py", "one.py", "package/__init__.py", "package/mod.py", "three.py", "two.py",
    ]  # fmt: skip
    assert entry.source_hash == version_hash(entry.sources, "a.py")


def test_each_change_of_a_neighbour_is_a_new_version_and_others_stay(folder):
    root = folder(a=playbook_file("a", "x", "from helpers import x"), b=playbook_file("b"), helpers="x = 1")
    first = load([root])
    folder(helpers="x = 2")
    second = load([root])
    assert call(first.registry, "a") == 1
    assert call(second.registry, "a") == 2
    hashes = [{file.entry: file.source_hash for file in result.files} for result in (first, second)]
    assert hashes[0]["a.py"] != hashes[1]["a.py"]
    assert hashes[0]["b.py"] == hashes[1]["b.py"]
    assert first.registry is not second.registry


def test_neighbours_that_import_each_other(folder):
    root = folder(
        a="import b\nfrom opensoar import playbook\nx = 1\n@playbook()\nasync def pa(alert): return b.get()",
        b="import a\nfrom opensoar import playbook\ndef get(): return a.x\n@playbook()\nasync def pb(alert): return a.x",
    )
    result = load([root])
    assert result.errors == []
    assert call(result.registry, "pa") == call(result.registry, "pb") == 1


def test_playbooks_belong_to_the_file_that_declares_them(folder):
    root = folder(a=playbook_file("a", imports="import b"), b=playbook_file("b", imports="import _c"))
    folder(_c=playbook_file("c"))
    result = load([root])
    assert result.errors == []
    assert {file.entry: [s.name for s in file.playbooks] for file in result.files} == {
        "a.py": ["a"],
        "b.py": ["b"],
    }


def test_the_standard_library_wins_and_a_file_may_bear_a_package_s_name(folder):
    root = folder(
        email=playbook_file("phishing", "email.__name__", "import email"),
        json="x = 'ours'",
        httpx=playbook_file("calls", "httpx.__version__ != ''", "import httpx"),
        a=playbook_file("a", "json.dumps([1])", "import json"),
        opensoar="raise RuntimeError",
    )
    result = load([root])
    assert [file.entry for file in result.errors] == ["opensoar.py"]
    assert call(result.registry, "phishing") == "email"
    assert call(result.registry, "calls") is True
    assert call(result.registry, "a") == "[1]"


def test_folders_without_init_are_script_folders_and_packages_are_not(folder):
    root = folder(
        helpers="x = 'root'",
        scripts__helpers="x = 'scripts'",
        scripts__a=playbook_file("a", "x", "from helpers import x"),
        package__INIT="",
        package__helpers="x = 'package'",
        package__b=playbook_file("b", "x", "from helpers import x"),
    )
    result = load([root])
    assert result.errors == []
    assert call(result.registry, "a") == "scripts"
    assert call(result.registry, "b") == "root"


# --- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        ("x = 1\nraise KeyError('gone')", "KeyError: 'gone'", 2),
        ("import os\n\nraise SystemExit(3)", "SystemExit.*ends the process.*3", 3),
        ("import sys\nsys.exit()", "SystemExit", 2),
        ("raise GeneratorExit", "GeneratorExit", 1),
        ("class Odd(BaseException): ...\nraise Odd", "Odd", 2),
        ("def f(:\n", "SyntaxError: invalid syntax", 1),
        ("x = 1\n  y = 2\n", "IndentationError", 2),
        ("\n\nimport not_there_at_all", "ModuleNotFoundError: No module named 'not_there_at_all'", 3),
        ("from .not_there import x", "ModuleNotFoundError: No module named 'not_there'", 1),
        ("from opensoar import plybook", "cannot import name 'plybook'", 1),
        ("def f():\n    return 1 / 0\nf()", "ZeroDivisionError", 2),
        (
            "from opensoar import playbook\n@playbook(ordr=3)\nasync def a(alert): ...",
            "TypeError: @playbook has no option 'ordr'",
            2,
        ),
        (
            "from opensoar import playbook\n\n@playbook(\n  conditions={'severty': 'x'})\nasync def a(alert): ...",
            "did you mean 'severity'",
            3,
        ),
    ],
)
def test_an_error_at_import_is_that_file_s_with_its_line(folder, text, words, line):
    before = modules()
    root = folder(bad=text, good=playbook_file("good"))
    result = load([root])
    [bad] = result.errors
    assert bad.entry == "bad.py"
    assert re.search(words, bad.error), bad.error
    assert bad.error_line == line
    assert "opensoar_playbooks" not in bad.error
    assert list(result.registry.playbooks) == ["good"]
    assert not any(name.endswith(".bad") for name in modules() - before)


def test_an_error_in_a_neighbour_names_both_places(folder):
    root = folder(a=playbook_file("a", imports="import helpers"), helpers="x = 1\n\nraise ValueError('no')")
    errors = {file.entry: file for file in load([root]).errors}
    assert errors["a.py"].error == "ValueError: no (in helpers.py, line 3)"
    assert errors["a.py"].error_line == 3
    assert errors["helpers.py"].error == "ValueError: no"
    assert errors["helpers.py"].error_line == 3
    details = errors["a.py"].details
    assert "raise ValueError('no')" in details
    assert "importlib" not in details
    assert "importer.py" not in details


def test_nothing_of_a_failed_file_stays_and_repair_is_enough(folder):
    before = modules()
    root = folder(a=playbook_file("a", imports="import _helpers") + "\nraise ValueError", _helpers="x = 1")
    result = load([root])
    assert len(result.errors) == 1
    assert list(result.registry.playbooks) == []
    assert modules() == before
    folder(a=playbook_file("a", imports="import _helpers"))
    assert list(load([root]).registry.playbooks) == ["a"]


def test_an_interrupt_of_the_person_at_the_keyboard_goes_through(folder):
    root = folder(a="raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load([root])


def test_two_playbooks_of_one_name(folder):
    root = folder(
        a=playbook_file("same", "'first'"),
        b=playbook_file("same", "'second'") + playbook_file("other"),
        c=playbook_file("c"),
    )
    result = load([root])
    [error] = result.errors
    assert error.entry == "b.py"
    assert "'same' is taken twice" in error.error
    assert f"{root}/a.py:4" in error.error
    assert f"{root}/b.py:4" in error.error
    assert error.error_line == 4
    assert call(result.registry, "same") == "first"
    assert sorted(result.registry.playbooks) == ["c", "same"]


def test_two_playbooks_of_one_name_in_one_file(folder):
    root = folder(a=playbook_file("same") + playbook_file("same", function="again"))
    [error] = load([root]).errors
    assert "'same' is taken twice" in error.error
    assert error.error_line == 10


# --- stored versions ---------------------------------------------------------------------------


def test_a_run_resumes_with_the_code_it_started_with(folder):
    root = folder(a=playbook_file("a", "helpers.x", "import helpers"), helpers="x = 'old'")
    stored = next(file for file in load([root]).files if file.entry == "a.py")
    folder(a=playbook_file("a", "'new'"), helpers="x = 'new'")
    assert call(load([root]).registry, "a") == "new"
    shutil.rmtree(root)
    assert call(load_version(stored.sources, stored.entry), "a") == "old"


def test_a_version_is_executed_once_and_its_classes_are_the_same(folder):
    root = folder(
        a="import builtins\nbuiltins.executed = getattr(builtins, 'executed', 0) + 1\n"
        + playbook_file("a", "Odd")
        + "class Odd(Exception): ...\n"
    )
    builtins.executed = 0
    first = load([root])
    second = load([root])
    stored = load_version(only(first).sources, "a.py")
    assert builtins.executed == 1
    odd = call(first.registry, "a")
    assert odd is call(second.registry, "a") is call(stored, "a")
    assert odd.__module__ == f"opensoar_playbooks.v{only(first).source_hash[:20]}.a"
    assert sys.modules[odd.__module__].Odd is odd
    del builtins.executed


def test_a_stored_version_that_does_not_load_says_why():
    with pytest.raises(LoadError, match="KeyError: 'x'") as caught:
        load_version({"a.py": "\nraise KeyError('x')"}, "a.py")
    assert caught.value.line == 2
    assert "raise KeyError" in caught.value.details
    with pytest.raises(LoadError, match="No module named 'a'"):
        load_version({"b.py": ""}, "a.py")
    with pytest.raises(LoadError, match="No module named 'helpers'"):
        load_version({"a.py": "import helpers"}, "a.py")


def test_tracebacks_show_the_version_s_own_lines(folder):
    root = folder(
        a=playbook_file("a", "boom()", "from helpers import boom"),
        helpers="def boom():\n    raise ValueError('old line')",
    )
    stored = next(file for file in load([root]).files if file.entry == "a.py")
    registry = load_version(stored.sources, "a.py")
    folder(helpers="# moved\n# moved\ndef boom():\n    raise ValueError('new line')")
    load([root])
    linecache.checkcache()
    for forget in (False, True):
        if forget:
            linecache.clearcache()
        try:
            call(registry, "a")
        except ValueError:
            text = traceback.format_exc()
        assert "raise ValueError('old line')" in text
        assert "return boom()" in text
        assert f"playbook:{stored.source_hash[:12]}/helpers.py" in text


def test_file_names_a_real_place_where_there_is_one(folder):
    root = folder(a=playbook_file("a", "__file__"))
    stored = only(load([root]))
    assert call(load([root]).registry, "a") == str(root / "a.py")
    sources = {"a.py": stored.sources["a.py"] + "# another version\n"}
    assert call(load_version(sources, "a.py"), "a").startswith("playbook:")
    assert call(load_version(sources, "a.py", root), "a") == str(root / "a.py")


def test_imports_inside_functions_work_after_a_reload(folder):
    text = "from opensoar import playbook\n@playbook()\nasync def a(alert):\n    {0}\n    return x\n"
    for line in ("from late import x", "from .late import x"):
        root = folder(a=text.format(line), late="x = 'old'")
        first = load([root])
        folder(late="x = 'new'")
        second = load([root])
        assert call(first.registry, "a") == "old"
        assert call(second.registry, "a") == "new"


def test_memory_is_bounded_and_evicted_code_goes_on(folder, monkeypatch):
    monkeypatch.setattr(loader, "_MAX_VERSIONS", 3)
    gc.collect()
    before = len(importer._trees)  # what earlier tests still hold
    text = "from opensoar import playbook\n@playbook()\nasync def a(alert):\n    from late import x\n    return x\n"
    root = folder(a=text, late="x = 0")
    kept = load([root]).registry
    for number in range(10):
        load_version({"b.py": f"x = {number}"}, "b.py")
    assert len(loader._loaded) <= 3
    assert len({name.split(".")[1] for name in modules()}) <= 3
    assert call(kept, "a") == 0
    del kept
    gc.collect()
    assert len(importer._trees) <= before + 5


def test_loading_from_many_threads_executes_once():
    builtins.executed = 0
    text = "import builtins, time\nbuiltins.executed += 1\ntime.sleep(0.05)\n" + playbook_file("a", "1")
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(load_version({"a.py": text}, "a.py"))) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert builtins.executed == 1
    assert len({id(registry) for registry in found}) == 1
    del builtins.executed


def test_loading_registers_nothing_elsewhere_and_runs_nothing(folder):
    root = folder(a=playbook_file("a"))
    assert current_run.get() is None
    load([root])
    fake = FakeRun()
    with fake.current():
        load([root])
    assert fake.actions == fake.helpers == []


def test_dataclasses_and_types_work_in_playbook_files(folder):
    root = folder(
        a="""
        from __future__ import annotations
        import dataclasses, typing, enum
        from opensoar import playbook
        class Kind(enum.Enum):
            A = "a"
        @dataclasses.dataclass
        class Point:
            x: int
            kind: Kind = Kind.A
            y: dataclasses.InitVar[int] = 0
        @playbook()
        async def a(alert):
            return Point(1), typing.get_type_hints(Point)["kind"] is Kind
        """
    )
    result = load([root])
    assert result.errors == []
    point, resolved = call(result.registry, "a")
    assert point.x == 1
    assert resolved


def test_one_file_alone(folder):
    root = folder(
        a=playbook_file("a", "x", "from helpers import x"),
        helpers="x = 3",
        sub__b=playbook_file("b", "x", "from helpers import x"),
    )
    assert call(load_file(root / "a.py").registry, "a") == 3
    assert call(load_file(root / "sub" / "b.py", root).registry, "b") == 3
    assert "No module named 'helpers'" in only(load_file(root / "sub" / "b.py")).error
    assert only(load_file(root / "none.py")).error == "no such Python file"


def test_reading_follows_no_folder_links(folder, tmp_path):
    root = folder(a="")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x.py").touch()
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "file.py").symlink_to(tmp_path / "outside" / "x.py")  # as a mounted ConfigMap has them
    assert sorted(read_directory(root).files) == ["a.py", "file.py"]
