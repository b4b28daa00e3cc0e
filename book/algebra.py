"""The book's equations of the rule, from the implementation: no page types one.

In MyST, the update equations of a Rule (the numbers that are not zero appear as symbols), and all
theorems with their proofs, checked while the page is built::

    ```{update-equations} momentum=0.9, lr_in_buffer=True
    ```

    ```{theorems}
    ```
"""

import ast
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from rmsprop_ref import Rule, symbolic


class UpdateEquations(SphinxDirective):
    """The update equations of the Rule whose fields the argument gives."""

    optional_arguments: ClassVar[int] = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return them as one displayed formula."""
        call = ast.parse(f"Rule({''.join(self.arguments)})", mode="eval").body
        fields = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
        return self.parse_text_to_nodes(f"$$\n{symbolic.latex(Rule(**fields))}\n$$")


class Theorems(SphinxDirective):
    """Every theorem, one section each."""

    def run(self) -> list[nodes.Node]:
        """Prove them, and return what they print."""
        result: list[nodes.Node] = []
        for theorem in symbolic.THEOREMS:
            proved = theorem()
            section = nodes.section(ids=[theorem.__name__.replace("_", "-")])
            section += nodes.title(text=proved.name)
            section += self.parse_text_to_nodes(proved.markdown())
            section += self.parse_text_to_nodes(f"In Python: `symbolic.{theorem.__name__}()`")
            result.append(section)
        return result


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("update-equations", UpdateEquations)
    app.add_directive("theorems", Theorems)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
