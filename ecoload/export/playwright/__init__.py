"""The browser flows of a workspace as a Playwright project: `files.py`."""
