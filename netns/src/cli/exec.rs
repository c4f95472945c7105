//! `exec`: a program inside an instance's sandbox, on the caller's own standard streams.

use std::io;
use std::os::fd::AsFd;

use super::args::{Exec, Global};
use super::failure::{Code, Failure};
use super::project;
use crate::lab::client::Client;
use crate::lab::protocol::{Reply, Request};

pub(super) fn run(global: &Global, exec: &Exec) -> Result<u8, Failure> {
    let state = project::find_up(global)?;
    let request = Request::Exec {
        target: exec.target.clone(),
        argv: exec.argv.clone(),
        tty: false,
    };
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let mut client = Client::ask(
        &state.control(),
        request,
        &[stdin.as_fd(), stdout.as_fd(), stderr.as_fd()],
    )?;
    match client.reply()? {
        Some(Reply::Exited { code }) => Ok(u8::try_from(code).unwrap_or(Code::Failed as u8)),
        Some(Reply::Error { message }) => {
            Err(Failure::new(Code::Failed, format!("error: {message}")))
        }
        _ => Err(Failure::new(Code::Failed, "error: the lab ended")),
    }
}
