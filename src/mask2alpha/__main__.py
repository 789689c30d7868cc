"""``python -m mask2alpha`` and the `mask2alpha` command."""

from mask2alpha.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
