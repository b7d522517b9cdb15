"""The app: builds the demo and launches it."""

import os
import sys

from siamese.ui.zero_gpu import gpu_decorator  # isort: skip; before whatever imports torch

from siamese.characters.recognizer import load_recognizer
from siamese.signatures.verifier import load_verifier
from siamese.ui.app import build_demo, launch_settings

if __name__ == "__main__":
    try:
        recognizer = load_recognizer(gpu=gpu_decorator())  # of MODEL_ID, or what can stand in for it
        verifier = load_verifier(base=recognizer)  # of SIGNATURE_MODEL_ID, or what can stand in for it
    except (OSError, ValueError) as error:  # HubError, CheckpointError: one sentence
        sys.exit(str(error))
    demo = build_demo(recognizer, os.environ.get("CHALLENGE_SECRET"), verifier=verifier)
    demo.launch(**launch_settings())
