"""The app: builds the demo and launches it."""

import os

from siamese.recognizer import load_recognizer
from siamese.ui.page import build_demo, launch_settings

if __name__ == "__main__":
    demo = build_demo(load_recognizer(os.environ.get("MODEL_ID")), secret=os.environ.get("CHALLENGE_SECRET"))
    demo.launch(**launch_settings())
