//! Launches a plan and keeps it running.
//!
//! ```text
//! netns-setup up ── check, build, open the host's ports ── kernel::enter ──┬── launch: shows progress, then leaves (-d) or follows the logs
//!                                                                          └── init: the lab's first process, until `down`
//! netns-setup ps, exec, down ── client ── control.sock ── init             netns-setup logs ── the log files themselves
//! ```
//!
//! # For scripts and tests
//!
//! The command line is the interface; these parts of it are kept stable.
//!
//! - **A lab beside others**: `NETNS_STATE_DIR` (or `--state-dir`) names the base folder of its state, `--project-name` the folder in
//!   it. The shop's own file takes `FRONTEND_PREFIX`, `BACKEND_PREFIX`, `DATABASE_PREFIX` and `HTTP_PORT`, `GATEWAY_PORT`, `ADMIN_PORT` from
//!   the environment. Prefixes need not differ between labs: each has a network of its own. Ports must.
//! - **What runs**: `--bin-dir FOLDER` (or `NETNS_BIN_DIR`) takes the services' binaries from there and builds nothing;
//!   `--profile dev` (or `NETNS_BUILD_PROFILE`) builds with that profile.
//! - **`up -d`** returns 0 once everything is healthy or has completed, and 0 with nothing changed when the lab was up. Several at once are one after the other: the first does it. Otherwise
//!   not 0, and nothing runs: 1 when something could not be built or did not become healthy (`--wait-timeout`, seconds; its last log
//!   lines are on standard error), 64 for the Compose file, 69 for the machine or a port that is taken.
//! - **`ps --json`** prints [`protocol::Status`]: `pid` is the lab's first process as the host numbers it, `instances[].pid` each
//!   instance's (so `nsenter --target PID --user --preserve-credentials --net` enters its network), `instances[].state`
//!   `waiting | starting | running | healthy | unhealthy | restarting | completed | failed | stopping | stopped`, `crash_loop`, `restarts`,
//!   `tail`; `network_ms` and `ready_ms` are the figures of bring-up. Exit code 1 when the lab is not up.
//! - **`exec -T TARGET COMMAND...`** runs on the caller's own standard streams and returns the command's exit code. `router` and `world`
//!   are targets too: there, and with `--privileged` in an instance's network, it is a program of the machine run as the lab's root.
//! - **`stats --no-stream --json`** prints an array of [`usage::InstanceUsage`] with `cpu_percent`; **`events --json`** one object a line;
//!   **`ls --json`** the labs below the base folder, **`ls -q`** the names of those that are up.
//! - **`secret admin-token`** prints the token and nothing else.
//! - **`down`** returns when every process of the lab is gone; 0 also when it was not up.
//! - `kill -9` of `ps --json`'s `pid` ends everything at once; the next `up` works.

pub mod build;
pub mod client;
pub mod clock;
pub mod events;
pub mod folder;
pub mod groups;
pub mod init;
pub mod launch;
pub mod listen;
mod lock;
pub mod logs;
pub mod processes;
pub mod protocol;
pub mod state;
pub mod supervise;
pub mod turn;
pub mod usage;

/// Where a sandbox looks for programs unless the file says otherwise, as in the official images.
pub const SANDBOX_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
