"""ecoload: a load engine and performance-protocol runner."""

__version__ = "0.1.0"
__all__ = ["__version__"]
