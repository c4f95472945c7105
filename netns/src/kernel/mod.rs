//! Turns a plan into namespaces, links, addresses and rules.
