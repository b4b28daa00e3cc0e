"""The explorable's step function: the reference, traced, in JavaScript.

In MyST, its text, which is at the same time the page's script::

    ```{step-function} rmspropStep
    ```
"""

from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from rmsprop_ref import Rule, reference, trace

# The pages that have scripts and styles of their own.
FILES = {"book/explore": ("explore.js", "explore.css"), "book/atlas": ("atlas.js", "atlas.css")}


class StepFunction(SphinxDirective):
    """The plain rule with its four numbers as arguments, under the name that the argument gives."""

    required_arguments: ClassVar[int] = 1

    def run(self) -> list[nodes.Node]:
        """Return the function twice: to be read, and to be called."""
        for module in (reference, trace):
            self.env.note_dependency(module.__file__)
        program = trace.trace(Rule(), free=["lr", "beta", "eps_in", "eps_out"])
        code = trace.javascript(program, self.arguments[0])
        return [
            nodes.literal_block(code, code, language="javascript"),
            nodes.raw("", f"<script>\n{code}\n</script>", format="html"),
        ]


def add_script(app: Sphinx, pagename: str, *_: Any) -> None:
    """Give a page its own script and style, and no other page."""
    if pagename in FILES:
        script, style = FILES[pagename]
        app.add_js_file(script, loading_method="defer")
        app.add_css_file(style)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive and the page's files."""
    app.add_directive("step-function", StepFunction)
    app.connect("html-page-context", add_script)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
