"""Email templates: checked, prepared once per version, cut into segments, filled per recipient. Pure.

source ── check ──→ problems          prepare ──→ Prepared(html, text)          compile ──→ Compiled ──→ fill
"""

from delivery.templating.compiled import Compiled, Filler, fill_line, link_target
from delivery.templating.compiling import compile, has_unsubscribe
from delivery.templating.prepare import Prepared, prepare, read_upload
from delivery.templating.problems import Problem, TemplateError
from delivery.templating.safety import MAX_BYTES, Kind, check
from delivery.templating.variables import UNSUBSCRIBE_URL, variables

__all__ = [
    "MAX_BYTES",
    "UNSUBSCRIBE_URL",
    "Compiled",
    "Filler",
    "Kind",
    "Prepared",
    "Problem",
    "TemplateError",
    "check",
    "compile",
    "fill_line",
    "has_unsubscribe",
    "link_target",
    "prepare",
    "read_upload",
    "variables",
]
