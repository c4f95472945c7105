//! This test's own program, run again inside a namespace of the lab: opens real TCP connections and says what came of them.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::instance::enter;
use crate::setting::said;

/// Set to the addresses to dial, when this is that program.
pub(crate) const VARIABLE: &str = "UNDERLAY_LAB_DIAL";

/// How long a connection is given that has to be open, and one that has to be closed. The second is the time the whole check
/// takes; an answer within a namespace takes microseconds.
const OPEN: Duration = Duration::from_secs(5);
const UNANSWERED: Duration = Duration::from_millis(400);

/// What came of dialling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dialled {
    /// A connection.
    Open,
    /// No answer, or the router's that the way is closed (ICMP, which it limits in rate). Both are the policy's doing.
    Closed,
    /// Anything else, such as a refusal, which comes from the instance itself: it was reached.
    Other(String),
}

/// Dials every address from inside `namespace`, all at once. `open` says which are expected to be.
pub(crate) fn dial(
    first_process: i32,
    namespace: &Path,
    targets: &BTreeMap<SocketAddr, bool>,
) -> Result<BTreeMap<SocketAddr, Dialled>> {
    let list: Vec<String> = targets
        .iter()
        .map(|(address, open)| format!("{address}={}", u8::from(*open)))
        .collect();
    let mut command = Command::new(std::env::current_exe()?);
    command.env(VARIABLE, list.join(","));
    let output = enter(first_process, namespace, &command)?;
    ensure!(
        output.status.success(),
        "dialling from {}: {}",
        namespace.display(),
        said(&output)
    );
    String::from_utf8(output.stdout)?
        .lines()
        .map(|line| {
            let (address, word) = line.split_once(' ').with_context(|| line.to_owned())?;
            let dialled = match word {
                "open" => Dialled::Open,
                "closed" => Dialled::Closed,
                other => Dialled::Other(other.to_owned()),
            };
            Ok((address.parse()?, dialled))
        })
        .collect()
}

/// The program: prints one line an address.
pub(crate) fn main(targets: &str) -> ExitCode {
    let dialling: Vec<_> = targets
        .split(',')
        .filter_map(|target| target.split_once('='))
        .filter_map(|(address, open)| Some((address.parse::<SocketAddr>().ok()?, open == "1")))
        .map(|(address, open)| {
            std::thread::spawn(move || {
                let deadline = if open { OPEN } else { UNANSWERED };
                let word = match TcpStream::connect_timeout(&address, deadline) {
                    Ok(_) => "open".to_owned(),
                    Err(error)
                        if [ErrorKind::TimedOut, ErrorKind::HostUnreachable]
                            .contains(&error.kind()) =>
                    {
                        "closed".to_owned()
                    }
                    Err(error) => format!("{:?}", error.kind()),
                };
                format!("{address} {word}")
            })
        })
        .collect();
    for line in dialling {
        println!("{}", line.join().expect("a dialling thread does not panic"));
    }
    ExitCode::SUCCESS
}
