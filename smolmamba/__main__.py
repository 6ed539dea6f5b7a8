"""`python -m smolmamba`: what the console script `smolmamba` does."""

from .cli import main

if __name__ == "__main__":
    main()
