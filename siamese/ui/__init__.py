"""The app's pages. What Gradio reads when it is imported is set here, before any module of this package imports it."""

import os

from siamese.ui.startup import FIXED_SETTINGS

os.environ.update(FIXED_SETTINGS)
