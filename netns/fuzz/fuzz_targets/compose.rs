//! Any text as a Compose file: it is read or refused at a place that exists in it; what is read is planned or refused, and printed as a
//! file that is the same project.

#![no_main]

use std::collections::BTreeMap;
use std::path::Path;

use libfuzzer_sys::{Corpus, fuzz_target};
use netns_setup::compose::{Diagnostic, Project, Source, canonical_yaml, read};
use netns_setup::plan::{Scale, plan};

fn read_text(text: &str) -> Result<Project, Vec<Diagnostic>> {
    let env = BTreeMap::from([("SET".to_owned(), "value".to_owned())]);
    let source = Source {
        path: "compose.yaml".into(),
        text: text.to_owned(),
    };
    read(vec![source], Path::new("/stack"), &env)
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else {
        return Corpus::Reject;
    };
    match read_text(text) {
        Ok(project) => {
            if let Ok(plan) = plan(&project, &Scale::new()) {
                let _ = plan.script();
            }
            let printed = canonical_yaml(&project);
            match read_text(&printed) {
                Ok(again) => assert_eq!(
                    serde_json::to_value(&again).expect("a project has a JSON form"),
                    serde_json::to_value(&project).expect("a project has a JSON form"),
                    "{printed}"
                ),
                Err(found) => panic!("{}\n{printed}", found[0]),
            }
        }
        Err(found) => {
            assert!(!found.is_empty());
            let lines = text
                .replace("\r\n", "\n")
                .replace('\r', "\n")
                .split('\n')
                .count();
            for diagnostic in found {
                assert!(diagnostic.line as usize <= lines, "{diagnostic}");
                assert!(!diagnostic.remedy.is_empty(), "{diagnostic}");
            }
        }
    }
    Corpus::Keep
});
