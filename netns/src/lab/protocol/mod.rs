//! What the lab's first process and the command line say to each other: JSON, one value a line, over a Unix socket.
//!
//! A connection carries one [`Request`]; the answers end with the connection. File descriptors (`exec`) come as SCM_RIGHTS with
//! the request's own bytes. The launcher hears the same [`Reply`] lines over a socket pair while the lab comes up.

mod reply;
mod request;
mod status;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use reply::{InstanceState, Progress, Reply};
pub use request::{Change, Exec, FileNow, Recreate, Request, Run, Steer};
pub use status::{InstanceStatus, PublishedPort, Status, UplinkStatus};

/// The protocol's version: to be counted up with every change of what is said. Whoever asks says it, and so does whoever refuses: a lab
/// that was brought up by another version of the program is told from one that refuses for a reason.
pub const VERSION: u32 = 7;

/// What to do about a lab that was brought up by another version.
pub const OTHER_VERSION: &str = "`netns-setup down`, then `netns-setup up`";

/// Longest request line in bytes.
pub const MAX_REQUEST: usize = 4 << 20;

/// A request with the version of who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// [`VERSION`] of the sender.
    pub v: u32,
    /// What is asked.
    pub request: Request,
}

/// One line, its line feed included.
///
/// # Errors
/// Never for the types of this module; the signature is serde's.
pub fn line<T: Serialize>(value: &T) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads a request line; a message for the asker when it cannot be understood.
///
/// # Errors
/// The text to answer with.
pub fn parse_request(line: &[u8]) -> Result<Request, String> {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    match serde_json::from_slice::<Version>(line) {
        Ok(Version { v }) if v != VERSION => Err(format!(
            "this lab speaks version {VERSION} of the control protocol and was asked in version {v}\n = help: {OTHER_VERSION}"
        )),
        _ => serde_json::from_slice::<Envelope>(line)
            .map(|envelope| envelope.request)
            .map_err(|error| format!("not a request: {error}")),
    }
}
