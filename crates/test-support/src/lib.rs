//! Private PostgreSQL and Redis servers, spawned services and a TCP fault proxy for tests.
