"""Everything a person sees of one run. One module per form; none of them computes a figure."""
