//! Any line that a process sends to a lab's control socket: it is a request or is refused in words, and a request is written as it is read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use netns_setup::lab::protocol::{Envelope, Request, VERSION, line, parse_request};

fn read(bytes: &[u8]) -> Option<Request> {
    match parse_request(bytes) {
        Ok(request) => Some(request),
        Err(said) => {
            assert!(!said.is_empty());
            None
        }
    }
}

fuzz_target!(|data: &[u8]| {
    // As a line, and as what is asked in a line of today's version: so that what has been learnt outlives a version.
    let of_today = [
        format!("{{\"v\":{VERSION},\"request\":").as_bytes(),
        data,
        b"}",
    ]
    .concat();
    for bytes in [data, &of_today] {
        let Some(request) = read(bytes) else { continue };
        let written = line(&Envelope {
            v: VERSION,
            request: request.clone(),
        });
        let written = written.expect("a request has a JSON form");
        assert_eq!(read(&written), Some(request));
        let feeds = written.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(feeds, 1, "a request is one line");
    }
});
