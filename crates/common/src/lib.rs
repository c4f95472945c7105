//! What every Underlay service shares: configuration, telemetry, lifecycle, serving, problems, health, the registry client.
