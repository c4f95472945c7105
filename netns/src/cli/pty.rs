//! A terminal for `exec`: the program gets one of its own, this process carries the bytes.
