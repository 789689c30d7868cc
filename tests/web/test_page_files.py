import ast
import filecmp
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "web"
BUILT = ROOT / "src" / "mask2alpha" / "web"
MAX_BYTES, MAX_ENGINE_BYTES = 300_000, 4_000_000
NAMES_ONLY = (  # names of XML vocabularies, and pages that messages point to: nothing is fetched from there
    "http://www.w3.org/",
    "https://rolldown.rs/",
    "https://web.dev/cross-origin-isolation-guide/",
)
COMMANDS = [["tsc"], ["vitest", "run"], ["prettier", "--check", "src", "tests", "npm/src", "npm/tests"]]


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[str] = []
        self._open: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data: str) -> None:
        if self._open in ("script", "style") and data.strip():
            self.inline.append(data)


@pytest.fixture(scope="module")
def page() -> Tags:
    tags = Tags()
    tags.feed((BUILT / "index.html").read_text(encoding="utf-8"))
    return tags


def test_the_build_is_small_and_without_source_maps() -> None:
    files = [path for path in BUILT.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix == ".map"]
    engine = [path for path in files if path.name.startswith("engine-")]  # only the page without a service loads it
    assert sum(path.stat().st_size for path in engine) < MAX_ENGINE_BYTES
    assert sum(path.stat().st_size for path in set(files) - set(engine)) < MAX_BYTES


def test_every_file_the_page_names_is_there(page: Tags) -> None:
    named = [attrs[key] for tag, attrs in page.found for key in ("src", "href") if tag != "use" and attrs.get(key)]
    assert len(named) >= 4
    assert not [name for name in named if name and not (BUILT / name).is_file()]


def test_the_page_obeys_a_strict_content_security_policy(page: Tags) -> None:
    assert not page.inline
    handlers = [(tag, name) for tag, attrs in page.found for name in attrs if name == "style" or name.startswith("on")]
    assert not handlers
    scripts = "".join(path.read_text(encoding="utf-8") for path in BUILT.rglob("*.js"))
    assert not re.search(r"\beval\(|new Function\(|\.innerHTML|document\.write", scripts)


def test_the_page_asks_nothing_of_other_hosts() -> None:
    texts = {
        path: path.read_text(encoding="utf-8")
        for path in BUILT.rglob("*")
        if path.suffix in (".html", ".css", ".js", ".svg")
    }
    addresses = [
        match for text in texts.values() for match in re.findall(r"(?:https?:)?//[\w.-]+\.\w{2,}[^\s\"'`)]*", text)
    ]
    assert not [address for address in addresses if not address.startswith(NAMES_ONLY)]


def test_every_symbol_that_is_used_is_drawn(page: Tags) -> None:
    drawn = {f"#{attrs['id']}" for tag, attrs in page.found if tag == "symbol"}
    used = {attrs["href"] for tag, attrs in page.found if tag == "use"}
    script = "".join(path.read_text(encoding="utf-8") for path in BUILT.rglob("*.js"))
    used |= set(re.findall(r"#i-[\w-]+", script))
    assert used == drawn


def test_every_control_has_a_name(page: Tags) -> None:
    images = [attrs for tag, attrs in page.found if tag == "img"]
    assert all("alt" in image for image in images)
    icons = [attrs for tag, attrs in page.found if tag == "button" and "icon-button" in (attrs.get("class") or "")]
    is_named_later = re.compile("object-eye|object-delete")  # by the object's name
    assert not [icon for icon in icons if "aria-label" not in icon and not is_named_later.search(str(icon))]


def test_the_wheel_carries_the_page() -> None:
    listed = re.search(r"package-data\]\nmask2alpha = (\[.*\])", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert listed
    carried = {path for pattern in ast.literal_eval(listed[1]) for path in BUILT.parent.glob(pattern)}
    assert {path for path in BUILT.rglob("*") if path.is_file()} <= carried


def run_node(*command: str) -> None:
    if shutil.which("node") is None:
        pytest.skip("Node is not installed")
    if not (SOURCES / "node_modules").is_dir():
        pytest.skip("the page's tools are not installed: run `npm ci` in web/")
    done = subprocess.run(["npx", "--no-install", *command], cwd=SOURCES, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_committed_build_is_what_the_sources_build_to(tmp_path: Path) -> None:
    run_node("vite", "build", "--outDir", str(tmp_path / "web"), "--logLevel", "error")
    built = {path.relative_to(tmp_path / "web") for path in (tmp_path / "web").rglob("*") if path.is_file()}
    committed = {path.relative_to(BUILT) for path in BUILT.rglob("*") if path.is_file()}
    assert built == committed, "run `npm run build` in web/ and commit the result"
    differing = [name for name in built if not filecmp.cmp(tmp_path / "web" / name, BUILT / name, shallow=False)]
    assert not differing, "run `npm run build` in web/ and commit the result"


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [["tsc"], ["vitest", "run"], ["prettier", "--check", "src", "tests", "npm/src", "npm/tests"]],
    ids=lambda command: command[0],
)
def test_the_sources_are_sound(command: list[str]) -> None:
    run_node(*command)
