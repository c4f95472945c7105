//! Says what a machine lacks to run the lab, and installs it.
