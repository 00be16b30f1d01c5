"""Labels: the dimensions of a series, an alert or an incident."""

#: Names and values, in the order in which they were given.
Labels = dict[str, str]
