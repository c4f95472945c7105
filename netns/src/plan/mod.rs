//! Decides everything that will be built, before anything is touched.
