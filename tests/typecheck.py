"""The run-time type checker of the tests: shapes and types, an int being a float as in static typing."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
