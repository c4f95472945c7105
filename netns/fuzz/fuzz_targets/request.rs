//! Any line that a process sends to a lab's control socket: it is a request or it is none.

#![no_main]

use libfuzzer_sys::fuzz_target;
use netns_setup::lab::protocol::Request;

fuzz_target!(|data: &[u8]| {
    if let Ok(request) = serde_json::from_slice::<Request>(data) {
        let again = serde_json::to_vec(&request).expect("a request has a JSON form");
        serde_json::from_slice::<Request>(&again).expect("and is read again");
    }
});
