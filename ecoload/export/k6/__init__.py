"""A plan as a k6 script: what k6 must be told so that it sends the same load.

Rules
-----
- A pure function of plans: the same plans give the same bytes. No date, no address of a machine, no secret.
- What k6 cannot say is refused by name (`CannotExport`), or said in an exactly equal way; never nearly.
- The text is as prettier leaves it, with no dependency but k6 itself.
"""
