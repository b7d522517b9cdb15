"""The app's pages. What Gradio reads when it is imported is set here, before any module of this package imports it."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = "1000000000"  # no table of all calls after each of them
os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "100"
