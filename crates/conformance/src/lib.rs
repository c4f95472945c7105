//! One black-box suite, run against raw, Compose and Swarm alike.
