"""Where `tightship` starts: look whether our packages are our own before any of them is imported."""

import sys

from tightship.cli.shadowing import shadowed


def main() -> None:
    """Refuse to start among strangers; else run the command line."""
    wrong = shadowed()
    if wrong:
        where = "; ".join(wrong)
        sys.exit(_refuse(f"another package stands in front of ours ({where}); run tightship in a venv of its own."))
    from artifacts.openmp import spin_briefly

    spin_briefly()
    from tightship.cli.main import main as run

    run()


def _refuse(sentence: str) -> int:
    sys.stderr.write(f"tightship: {sentence}\n")
    return 2


if __name__ == "__main__":
    main()
