"""Starts the app: checks the settings, loads the networks, serves the pages."""

import os
import sys

from siamese.ui import startup


def main() -> None:
    """Serves until it is stopped; what keeps the app from starting is one sentence and status 1."""
    startup.use_safe_console()
    try:
        settings = startup.prepare(os.environ)
    except startup.StartupError as reason:
        sys.exit(str(reason))

    # Imported here: Gradio reads the environment that was checked above.
    with startup.without_proxies(os.environ):
        from siamese.ui.zero_gpu import gpu_decorator  # isort: skip; before whatever imports torch

        from siamese.characters.recognizer import load_recognizer
        from siamese.signatures.verifier import load_verifier
        from siamese.ui.app import build_demo, serve

    try:
        recognizer = load_recognizer(gpu=gpu_decorator())  # of MODEL_ID, or what can stand in for it
        verifier = load_verifier(base=recognizer)  # of SIGNATURE_MODEL_ID, or what can stand in for it
        for served in (recognizer, verifier):
            served.encoder.release_float32()
    except (OSError, ValueError) as error:  # HubError, CheckpointError: one sentence
        sys.exit(str(error))
    demo = build_demo(recognizer, os.environ.get("CHALLENGE_SECRET"), verifier=verifier)
    try:
        serve(demo, settings)
    except startup.StartupError as reason:
        sys.exit(str(reason))


if __name__ == "__main__":
    main()
