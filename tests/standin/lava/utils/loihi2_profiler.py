"""Test double, see tests/standin/README.md. Lava takes the presence of this module for that of its Loihi extension."""
