"""What the site has beyond docs/*.md: pages that lie elsewhere in the repository, every verb's help, and files that pages link to.

MkDocs calls these (`hooks` in mkdocs.yml). Pages link as they do on GitHub, to `../config/drive.yaml` for example; what a page links to
outside of docs/ is carried into the site, so that it reads without a network.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
ELSEWHERE = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "models/README.md": "models.md"}
PAGES = {**ELSEWHERE, "README.md": "index.md"}
LINK = re.compile(r"(?<=\]\()([^)#\s:]+)(?=(?:#[^)]*)?\))")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """`decisions/*.md` in the navigation stands for all of them, in order."""

    def expanded(items: list[Any]) -> Iterator[Any]:
        for item in items:
            for title, value in item.items():
                if isinstance(value, list):
                    yield {title: list(expanded(value))}
                elif "*" in value:
                    yield {title: [str(path.relative_to(config.docs_dir)) for path in sorted(Path(config.docs_dir).glob(value))]}
                else:
                    yield {title: value}

    config.nav = list(expanded(config.nav or []))
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds the pages from elsewhere, the page of verbs, and the files that pages link to."""
    for source, name in ELSEWHERE.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    files.append(File.generated(config, "commands.md", content=commands()))
    linked = {found for file in files.documentation_pages() for found in outside(file.content_string, file.src_uri)}
    for path in sorted(linked):
        files.append(File.generated(config, f"repository/{path}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links of the repository become links of the site."""
    here = posixpath.dirname(page.file.src_uri)

    def inside(match: re.Match[str]) -> str:
        path = in_repository(match[1], page.file.src_uri)
        target = PAGES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else f"repository/{path}")
        return posixpath.relpath(target, here or ".") if (ROOT / path).is_file() else match[1]

    return LINK.sub(inside, markdown)


def in_repository(link: str, page: str) -> str:
    """The repository's path that a link of a page means."""
    source = next((source for source, name in ELSEWHERE.items() if name == page), f"docs/{page}")
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def outside(markdown: str, page: str) -> Iterator[str]:
    """Files outside of docs/ that a page links to."""
    for link in LINK.findall(markdown):
        path = in_repository(link, page)
        if (ROOT / path).is_file() and not path.startswith("docs/") and path not in PAGES:
            yield path


def commands() -> str:
    """One page: every verb with its example and its --help."""
    sys.path.insert(0, str(ROOT))
    os.environ["COLUMNS"] = "120"
    from depth_perception import commands as verbs

    names = sorted(name for _, name, _ in pkgutil.iter_modules(verbs.__path__) if not name.startswith("train_"))
    text = ["# Commands", "", "What `python -m depth_perception VERB --help` says.", ""]
    for name in names:
        module = importlib.import_module(f"depth_perception.commands.{name}")
        verb = name.replace("_", "-")
        parser = argparse.ArgumentParser(prog=f"python -m depth_perception {verb}", formatter_class=argparse.RawDescriptionHelpFormatter)
        module.add_arguments(parser)
        text += [f"## {verb}", "", f"{module.HELP[:1].upper()}{module.HELP[1:]}.", "", f"    {module.EXAMPLE}", ""]
        text += ["```text", parser.format_help().strip(), "```", ""]
    return "\n".join(text)
