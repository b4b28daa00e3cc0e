"""The site. Its source folder is the root of the repository: `make book` says how it is built.

`_config.yml` has the same settings for Jupyter Book 1; tests/test_packaging.py compares the two.
"""

import hashlib
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))  # for the extensions `algebra`, `annotate` and `explorable`

metadata = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
project = "rmsprop_ref"
author = metadata["authors"][0]["name"]
copyright = f"2026, {author}"  # noqa: A001
release = metadata["version"]

extensions = [
    "algebra",
    "annotate",
    "explorable",
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_external_toc",
    "sphinxcontrib.bibtex",
]
external_toc_path = "book/_toc.yml"
include_patterns = ["book/*.md", "book/atlas/*.md", "notebooks/*.ipynb"]

# `make book` executes the notebooks (nb_execution_mode=cache); otherwise stored outputs are shown.
nb_execution_mode = "off"
nb_render_markdown_format = "myst"  # a theorem prints itself as Markdown with formulas
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_code_prompt_show = "Show the {type}"
nb_code_prompt_hide = "Hide the {type}"
# Cached outputs are stale when the notebook changed, which myst-nb sees, or the package did, which
# the name of the cache shows.
package = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(ROOT.glob("rmsprop_ref/**/*.py"))))
nb_execution_cache_path = str(HERE / "_build" / "executed" / package.hexdigest()[:16])

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_dmath_double_inline = True

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"

autodoc_typehints = "none"  # the signature has them
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_ivar = True
# Types in docstrings are prose ("array of floats"), and other libraries' are not looked up.
nitpick_ignore_regex = [("py:class", r"(?!rmsprop_ref).*")]

html_theme = "sphinx_book_theme"
html_title = "RMSProp, from first principles"
html_static_path = ["_static", "_build/static"]
html_css_files = ["house.css"]
html_extra_path = ["_root"]
html_theme_options = {"navbar_persistent": [], "show_toc_level": 2}
mathjax_path = "mathjax/tex-svg-full.js"
