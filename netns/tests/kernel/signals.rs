//! A lab that is told to stop before it listens stops once it does.

use std::io::{Read, Write};
use std::net::SocketAddr;

use netns_setup::kernel::enter::Launched;
use nix::sys::signal::{SigSet, Signal, kill};

use crate::lab::Lab;

pub(crate) fn hears_later(lab: &mut Lab) {
    // The launcher has sent its signal when it closes its connection: no handler was there, and nobody waited.
    let (mut connection, _) = lab.listener.accept().unwrap();
    connection.read_to_end(&mut Vec::new()).unwrap();
    let pending = SigSet::from_iter([Signal::SIGTERM]).wait().unwrap();
    assert_eq!(pending, Signal::SIGTERM);
    lab.messages.write_all(b"heard").unwrap();
}

pub(crate) fn signals_at_once(launched: &mut Launched, address: SocketAddr) {
    let connection = std::net::TcpStream::connect(address).unwrap();
    kill(launched.pid, Signal::SIGTERM).unwrap();
    drop(connection);
    let mut said = String::new();
    launched.messages.read_to_string(&mut said).unwrap();
    assert_eq!(said, "heardpassed");
}
