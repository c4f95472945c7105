//! Instances, leases, probes and watches: who serves what, where.
