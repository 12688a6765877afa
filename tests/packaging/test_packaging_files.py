"""Files for other packagers agree with pyproject.toml, with the commands, and with each other."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture(scope="module")
def project(repository) -> dict[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read_yaml(path) -> Any:
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


# ---- the image ----


@pytest.fixture(scope="module")
def dockerfile(repository) -> list[tuple[str, str]]:
    """(instruction, the rest) of each line; lines that end in a backslash are joined."""
    text = (repository / ".ci" / "packaging" / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line[0], line[1]) for line in lines]


def values(dockerfile, name: str) -> list[str]:
    return [rest for instruction, rest in dockerfile if instruction == name]


def test_the_base_image_is_a_version(dockerfile):
    (base,) = values(dockerfile, "FROM")
    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", base)


def test_the_image_runs_as_a_user_without_rights(dockerfile):
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", values(dockerfile, "USER")[-1])
    order = [instruction for instruction, _ in dockerfile]
    assert order.index("USER") > max(i for i, name in enumerate(order) if name in ("RUN", "COPY"))


def test_port_and_health_are_those_of_the_server(dockerfile, repository):
    from typer.main import get_command

    from cluscomp.cli.main import app

    serve = get_command(app).commands["serve"]
    flags = {name: parameter for parameter in serve.params for name in parameter.opts}
    assert values(dockerfile, "EXPOSE") == [str(flags["--port"].default)]
    (health,) = values(dockerfile, "HEALTHCHECK")
    program, script = json.loads(health.partition(" CMD ")[2])
    local = repository / ".ci" / "packaging" / script.removeprefix("/opt/packaging/")
    assert program == "python" and f'"{flags["--port"].default}"' in local.read_text(encoding="utf-8")
    (start,) = values(dockerfile, "CMD")
    command, *words = json.loads(start)
    assert json.loads(values(dockerfile, "ENTRYPOINT")[0]) == ["cluscomp"] and command == "serve"
    assert {word for word in words if word.startswith("--")} <= flags.keys() and "--read-token-file" in words


def test_all_that_the_image_runs_is_a_script_that_ci_runs_too(dockerfile, repository):
    ci = (repository / ".ci" / "run").read_text(encoding="utf-8")
    copied = " ".join(values(dockerfile, "COPY"))
    for run in values(dockerfile, "RUN"):
        script = run.split()[0].replace("/opt/packaging/", ".ci/packaging/")
        assert (repository / script).stat().st_mode & 0o111 and script in ci and script in copied
        assert not re.search(r"[;&|]", run)
    ignored = (repository / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert [line for line in ignored if not line.startswith("#")] == ["*", "!dist", "!.ci/packaging"]


def test_the_install_script_wants_one_wheel(repository, tmp_path):
    script = repository / ".ci" / "packaging" / "install.sh"
    done = subprocess.run(
        [script, tmp_path / "venv", tmp_path, "serve"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "one wheel expected" in done.stderr and not (tmp_path / "venv").exists()


# ---- the conda recipe ----


@pytest.fixture(scope="module")
def recipe(repository) -> dict[str, Any]:
    return read_yaml(repository / ".ci" / "packaging" / "recipe.yaml")


def spaced(requirement: str) -> str:
    """name>=1 as conda writes it, with its marker as a condition."""
    name, _, marker = requirement.partition(";")
    plain = name.strip().replace(">=", " >=")
    python = re.search(r"python_version < '([\d.]+)'", marker)
    return f"{plain} if <{python[1]}" if python else plain


def flat(requirements: list[Any]) -> set[str]:
    found = set()
    for item in requirements:
        if isinstance(item, dict):
            bound = re.fullmatch(r'match\(python, "<([\d.]+)"\)', item["if"])
            assert bound is not None
            found.add(f"{item['then']} if <{bound[1]}")
        else:
            found.add(item)
    return found


def test_the_recipe_has_the_dependencies_of_the_project(recipe, project, repository):
    python = f"python {project['requires-python']}"
    assert flat(recipe["requirements"]["run"]) == {python, *map(spaced, project["dependencies"])}
    system = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["build-system"][
        "requires"
    ]
    built = {item for part in ("build", "host") for item in recipe["requirements"][part]}
    assert {item for item in built if not item.startswith(("$", "python", "pip"))} == set(map(spaced, system))


def test_the_recipe_has_the_facts_of_the_project(recipe, project):
    assert recipe["context"]["version"] == project["version"] and recipe["package"]["name"] == project["name"]
    entries = {f"{name} = {target}" for name, target in project["scripts"].items()}
    assert set(recipe["build"]["python"]["entry_points"]) == entries
    about = recipe["about"]
    assert (about["license"], [about["license_file"]]) == (project["license"], project["license-files"])
    assert about["summary"] == project["description"]


# ---- citation, site, wheels ----


def test_the_citation_is_that_of_the_project(project, repository):
    citation = read_yaml(repository / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software" and citation["message"]
    assert (citation["title"], citation["version"]) == (project["name"], project["version"])
    assert (citation["license"], citation["abstract"]) == (project["license"], project["description"])
    assert citation["authors"] == project["authors"] and citation["keywords"] == project["keywords"]


def test_the_site_has_every_page_and_nothing_from_elsewhere(repository):
    settings = read_yaml(repository / "mkdocs.yml")
    assert settings["plugins"] == [] and settings["theme"]["font"] is False
    assert not settings.keys() & {"extra_javascript", "extra_css", "hooks"}
    text = (repository / "mkdocs.yml").read_text(encoding="utf-8")
    assert "://" not in text
    listed = re.findall(r"[\w/-]+\.md", text.partition("\nnav:")[2])
    pages = {page.name for page in (repository / "docs").glob("*.md")}
    tops = {"start.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"}
    assert len(listed) == len(set(listed)) and set(listed) == pages | tops | {"notes/index.md"}


def test_wheels_are_made_for_every_python_that_is_allowed(project, repository):
    """What cibuildwheel selects; `.ci/run wheel` compares with its own list."""
    wheels = (repository / ".ci" / "packaging" / "wheels.txt").read_text(encoding="utf-8").split()
    pythons = [f"cp3{minor}" for minor in range(10, 15)]
    machines = ("manylinux_x86_64", "manylinux_aarch64", "macosx_x86_64", "macosx_arm64")
    assert sorted(wheels) == sorted(f"{python}-{machine}" for python in pythons for machine in machines)
    assert project["requires-python"] == ">=3.10"


def test_every_requirement_has_a_lower_bound(repository):
    """`.ci/run lowest` installs these."""
    done = subprocess.run(
        [sys.executable, repository / ".ci" / "lowest.py", "test", "train"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {"numpy==1.26", "pyarrow==15", "torch==2.2"} <= set(done.stdout.split("\n"))


def script(repository, name: str) -> Any:
    """A module of .ci/."""
    spec = importlib.util.spec_from_file_location(name, repository / ".ci" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_wheel_is_asked_for_every_file_of_the_pages(repository):
    check = script(repository, "check_wheel")
    folders = {"cluscomp/server/page": repository / "cluscomp" / "server" / "page",
               "cluscomp/eval/report": repository / "eval" / "report"}  # fmt: skip
    names = {
        f"{place}/{path.name}"
        for place, folder in folders.items()
        for path in folder.iterdir()
        if path.suffix in (".html", ".css", ".js")
    }
    asked = {name for name in names if any(re.fullmatch(pattern, name) for pattern in check.REQUIRED)}
    assert len(names) > 5 and asked == names
    assert all(check.ALLOWED.fullmatch(name) for name in names)


def test_the_audit_of_a_wheel_sees_foreign_libraries(repository):
    audit = {"external_libs": {}, "overall_tag": "manylinux_2_35_x86_64", "unsupported_isa": False}
    faults = script(repository, "check_wheel").audit_faults
    assert faults(audit) == []
    assert "libopenblas.so.0" in faults({**audit, "external_libs": {"libopenblas.so.0": None}})[0]
    assert "linux_x86_64" in faults({**audit, "overall_tag": "linux_x86_64"})[0]
    assert len(faults({**audit, "unsupported_isa": True})) == 1


def test_links_of_the_site_lead_to_the_pages_of_the_site(repository, tmp_path):
    site = script(repository, "docs_site")
    site.stage(tmp_path / "site")
    start = (tmp_path / "site" / "docs" / "start.md").read_text(encoding="utf-8")
    index = (tmp_path / "site" / "docs" / "index.md").read_text(encoding="utf-8")
    assert "](CONTRIBUTING.md)" in start and "](format.md)" in start and "](start.md#eight-lines)" in index
    html = tmp_path / "site" / "html"
    for page in (tmp_path / "site" / "docs").rglob("*.md"):
        made = html / page.relative_to(tmp_path / "site" / "docs").with_suffix(".html")
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text("<a href='https://example.org'>a link is no load</a>", encoding="utf-8")
    assert site.faults(html) == []
    (html / "index.html").write_text(
        '<script async src="https://example.org/x.js"></script>', encoding="utf-8"
    )
    (html / "api.html").unlink()
    assert len(site.faults(html)) == 2


def test_doctor_knows_the_packages_of_every_extra(project):
    from cluscomp.cli.doctor import OPTIONAL

    extras = project["optional-dependencies"]
    for name, extra in OPTIONAL.items():
        listed = [re.match(r"[\w.-]+", requirement)[0] for requirement in extras[extra]]
        assert name in listed, (name, extra)
    assert set(OPTIONAL.values()) == extras.keys() - {"gpu", "test", "lint", "all"}
