//! Reads the subset of the Compose Specification that the lab can run; refuses the rest by name, line and column.
