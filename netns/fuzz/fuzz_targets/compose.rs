//! Any text as a Compose file: it is read or refused at a place that exists in it; what is read is planned or refused, and printed.

#![no_main]

use std::collections::BTreeMap;
use std::path::Path;

use libfuzzer_sys::{Corpus, fuzz_target};
use netns_setup::compose::{Source, read};
use netns_setup::plan::{Scale, plan};

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else {
        return Corpus::Reject;
    };
    let lines = text.split('\n').count();
    let env = BTreeMap::from([("SET".to_owned(), "value".to_owned())]);
    let source = Source {
        path: "compose.yaml".into(),
        text: text.to_owned(),
    };
    match read(vec![source], Path::new("/stack"), &env) {
        Ok(project) => {
            if let Ok(plan) = plan(&project, &Scale::new()) {
                let _ = plan.script();
            }
        }
        Err(found) => {
            assert!(!found.is_empty());
            for diagnostic in found {
                assert!(diagnostic.line as usize <= lines, "{diagnostic}");
                assert!(!diagnostic.remedy.is_empty(), "{diagnostic}");
            }
        }
    }
    Corpus::Keep
});
