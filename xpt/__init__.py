"""Cross-lingual Post-Training: a pre-trained English encoder becomes one of another language."""

import sys

from xpt.program.old_commands import OldCommands

__version__ = "0.1.0"

sys.meta_path.insert(0, OldCommands())
