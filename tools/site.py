"""What of the documentation site lies outside docs/: a hook of MkDocs.

mkdocs.yml names it. README.md and its siblings become pages, each room of the
package gets a page made from its docstrings, and links that leave docs/ lead to
copies of the files.
"""

import posixpath
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from tools import house

REPOSITORY = house.REPOSITORY
# Page -> the file at the top of the repository that it is made of.
PAGES = {
  'index.md': 'README.md',
  'contributing.md': 'CONTRIBUTING.md',
  'changelog.md': 'CHANGELOG.md',
  'security.md': 'SECURITY.md',
}
_PAGE_OF = {source: page for page, source in PAGES.items()}
# A link of Markdown to a file, with or without a place in it.
_LINK = re.compile(r'\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)')


def _target(path: str) -> str:
  """Where a file of the repository is on the site, below its top."""
  if path in _PAGE_OF:
    return _PAGE_OF[path]
  if path.startswith('docs/'):
    return path.removeprefix('docs/')
  return f'source/{path}'


def rewrite_links(markdown: str, folder: str) -> str:
  """A page with links to files of the repository turned into the site's.

  Args:
    markdown: the page.
    folder: of the file it is made of, below the repository: '' or 'docs'.
  """

  def rewritten(match: re.Match) -> str:
    path = posixpath.normpath(posixpath.join(folder, match[1]))
    return f']({_target(path)}{match[2] or ""})'

  return _LINK.sub(rewritten, markdown)


def linked_files() -> list[str]:
  """Files of the repository that pages link to and that are no pages."""
  found = set()
  sources = [(REPOSITORY / name, '') for name in PAGES.values()]
  sources += [(path, 'docs') for path in (REPOSITORY / 'docs').glob('*.md')]
  for source, folder in sources:
    for match in _LINK.finditer(source.read_text()):
      path = posixpath.normpath(posixpath.join(folder, match[1]))
      if _target(path).startswith('source/'):
        found.add(path)
  return sorted(found)


def api_pages() -> dict[str, str]:
  """Page -> its Markdown, one for each room of the package."""
  pages = {}
  for room in house.rooms():
    if room == '__main__':
      continue
    members = [
      '.'.join(path.relative_to(REPOSITORY).with_suffix('').parts)
      for path in house.modules()
      if house.room_of(path) == room
    ]
    names = [name.removesuffix('.__init__') for name in members]
    body = ''.join(f'\n::: {name}\n' for name in sorted(names))
    pages[f'api/{room}.md'] = f'# datadiet.{room}\n{body}'
  return pages


def on_config(config: MkDocsConfig) -> MkDocsConfig:
  """Lists the pages of the rooms in the navigation, the top floor first."""
  config.nav.append({'Modules': list(api_pages())})
  return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
  """Adds the pages and files from outside docs/."""
  for page, source in PAGES.items():
    content = (REPOSITORY / source).read_text()
    files.append(File.generated(config, page, content=content))
  for page, content in api_pages().items():
    files.append(File.generated(config, page, content=content))
  for path in linked_files():
    source = str(REPOSITORY / path)
    added = File.generated(config, f'source/{path}', abs_src_path=source)
    files.append(added)
  return files


def on_page_markdown(
  markdown: str, page: Page, config: MkDocsConfig, files: Files
) -> str:
  """Rewrites the links of a page."""
  del config, files
  path = page.file.src_uri
  if path.startswith('api/'):
    return markdown
  return rewrite_links(markdown, '' if path in PAGES else 'docs')
