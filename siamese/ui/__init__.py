"""The app's pages. What Gradio reads when it is imported is set here, before any module of this package imports it."""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000000")  # no table of all calls after each of them
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")

# Uploads lie in a folder of their own, since all of it is swept: one that is given may hold what others left there.
folder = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
if folder.name != "one-look-uploads":  # as a process finds it that this one started
    folder /= "one-look-uploads"
os.environ["GRADIO_TEMP_DIR"] = str(folder)
