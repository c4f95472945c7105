//! What must hold of any input that comes from outside. The targets in `netns/fuzz` are these functions, called with mutated input;
//! they are here so that they are compiled and run, over the seeds, wherever this package is tested.

use std::collections::BTreeMap;
use std::path::Path;

use crate::compose::{Diagnostic, Project, Source, canonical_yaml, read};
use crate::lab::protocol::{Envelope, Request, VERSION, line, parse_request};
use crate::plan::{Scale, plan};

/// Any bytes as a Compose file: it is read, or refused at a place that exists in it; what is read is planned or refused, and printed as
/// a file that is the same project. Says whether the bytes were a text, and worth being mutated further.
///
/// # Panics
/// When any of that does not hold.
#[must_use]
pub fn compose(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    match read_text(text) {
        Ok(project) => {
            if let Ok(plan) = plan(&project, &Scale::new()) {
                let _ = plan.script();
            }
            let printed = canonical_yaml(&project);
            match read_text(&printed) {
                Ok(again) => assert_eq!(json(&again), json(&project), "{printed}"),
                Err(found) => panic!("{}\n{printed}", found[0]),
            }
        }
        Err(found) => {
            assert!(!found.is_empty());
            let ends = text.replace("\r\n", "\n").replace('\r', "\n");
            let lines = ends.split('\n').count();
            for diagnostic in found {
                assert!(diagnostic.line as usize <= lines, "{diagnostic}");
                assert!(!diagnostic.remedy.is_empty(), "{diagnostic}");
            }
        }
    }
    true
}

fn read_text(text: &str) -> Result<Project, Vec<Diagnostic>> {
    let env = BTreeMap::from([("SET".to_owned(), "value".to_owned())]);
    let source = Source {
        path: "compose.yaml".into(),
        text: text.to_owned(),
    };
    read(vec![source], Path::new("/stack"), &env)
}

fn json(project: &Project) -> serde_json::Value {
    serde_json::to_value(project).expect("a project has a JSON form")
}

/// Any line that a process sends to a lab's control socket: it is a request or is refused in words, and a request is written as it is
/// read, in one line. Says in how many ways the bytes were a request: as a line, and as what is asked in a line of today's version, so
/// that what has been learnt outlives a version.
///
/// # Panics
/// When any of that does not hold.
#[must_use]
pub fn request(bytes: &[u8]) -> usize {
    let start = format!("{{\"v\":{VERSION},\"request\":");
    let of_today = [start.as_bytes(), bytes, b"}"].concat();
    let mut requests = 0;
    for bytes in [bytes, &of_today] {
        let Some(request) = parsed(bytes) else {
            continue;
        };
        let written = line(&Envelope {
            v: VERSION,
            request: request.clone(),
        });
        let written = written.expect("a request has a JSON form");
        assert_eq!(parsed(&written), Some(request));
        let feeds = written.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(feeds, 1, "a request is one line");
        requests += 1;
    }
    requests
}

fn parsed(bytes: &[u8]) -> Option<Request> {
    match parse_request(bytes) {
        Ok(request) => Some(request),
        Err(said) => {
            assert!(!said.is_empty());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seeds of a target, of which there is at least one.
    fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
        let entries = std::fs::read_dir(folder.join(target)).unwrap();
        let seeds: Vec<_> = entries
            .map(|entry| {
                let path = entry.unwrap().path();
                (path.display().to_string(), std::fs::read(path).unwrap())
            })
            .collect();
        assert!(!seeds.is_empty());
        seeds
    }

    #[test]
    fn every_target_has_its_function_and_its_seeds() {
        let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
        for entry in std::fs::read_dir(targets).unwrap() {
            let path = entry.unwrap().path();
            let target = path.file_stem().unwrap().to_str().unwrap();
            let source = std::fs::read_to_string(&path).unwrap();
            assert!(
                source.contains(&format!("netns_setup::fuzz::{target}(bytes)")),
                "{target}"
            );
            seeds(target);
        }
    }

    #[test]
    fn the_seeds_of_the_reader_are_files() {
        for (path, bytes) in seeds("compose") {
            assert!(compose(&bytes), "{path} is no text");
            let read = read_text(std::str::from_utf8(&bytes).unwrap());
            assert!(read.is_ok(), "{path}: {}", read.unwrap_err()[0]);
        }
        assert!(!compose(b"\xff"));
    }

    #[test]
    fn the_seeds_of_the_control_socket_are_requests() {
        for (path, bytes) in seeds("request") {
            assert_eq!(request(&bytes), 1, "{path} is no request");
        }
        assert_eq!(request(b"nothing"), 0);
    }
}
