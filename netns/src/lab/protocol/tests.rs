use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::plan::On;

fn any_request() -> impl Strategy<Value = Request> {
    prop_oneof![
        Just(Request::Status),
        Just(Request::Down),
        (".*", proptest::collection::vec(".*", 0..4), any::<bool>()).prop_map(
            |(target, argv, privileged)| Request::Exec(Exec {
                target,
                argv,
                privileged,
                ..Exec::default()
            })
        ),
        (
            ".*",
            any::<Option<String>>(),
            proptest::collection::vec(".*", 0..3)
        )
            .prop_map(|(service, name, argv)| {
                Request::Run(Run {
                    service,
                    name,
                    argv,
                    ..Run::default()
                })
            }),
        any_change().prop_map(|change| Request::Change(Box::new(change))),
        (
            any_steer(),
            proptest::collection::vec(".*", 0..4),
            any::<Option<u64>>()
        )
            .prop_map(|(steer, services, wait_ms)| Request::Steer {
                steer,
                services,
                wait_ms
            }),
    ]
}

fn any_change() -> impl Strategy<Value = Change> {
    let file = (".*", ".*", ".*").prop_map(|(path, text, value)| FileNow {
        sources: vec![(path.clone().into(), text)],
        dir: path.clone().into(),
        environment: BTreeMap::from([(path.clone(), value)]),
        binaries: BTreeMap::from([(path.clone(), path.into())]),
    });
    let recreate = prop_oneof![Just(Recreate::Changed), Just(Recreate::None)];
    let scale = proptest::collection::btree_map(".*", any::<u32>(), 0..3);
    let services = (
        proptest::collection::btree_set(".*", 0..3),
        proptest::collection::btree_set(".*", 0..3),
    );
    let ports = proptest::collection::vec(any::<On>(), 0..3);
    let wait = any::<Option<u64>>();
    (
        proptest::option::of(file),
        scale,
        services,
        recreate,
        ports,
        wait,
    )
        .prop_map(
            |(file, scale, (services, anew), recreate, ports, wait_ms)| Change {
                file,
                scale,
                services,
                anew,
                recreate,
                ports,
                wait_ms,
            },
        )
}

fn any_steer() -> impl Strategy<Value = Steer> {
    prop_oneof![
        any::<Option<u64>>().prop_map(|grace_ms| Steer::Stop { grace_ms }),
        Just(Steer::Start),
        any::<(Option<u64>, bool)>()
            .prop_map(|(grace_ms, no_deps)| Steer::Restart { grace_ms, no_deps }),
        any::<i32>().prop_map(|signal| Steer::Kill { signal }),
        Just(Steer::Wait),
    ]
}

proptest! {
    #[test]
    fn a_request_is_one_line_and_comes_back_as_sent(request in any_request()) {
        let bytes = line(&Envelope { v: VERSION, request: request.clone() }).unwrap();
        prop_assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
        prop_assert_eq!(parse_request(&bytes).unwrap(), request);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_request(&bytes);
    }
}

/// What the fuzzer starts from (`netns/fuzz`) is of use only as long as it is understood.
#[test]
fn the_fuzzers_seeds_are_requests() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/request");
    for seed in std::fs::read_dir(seeds).unwrap() {
        let path = seed.unwrap().path();
        let request = std::fs::read_to_string(&path).unwrap();
        let line = format!("{{\"v\":{VERSION},\"request\":{request}}}");
        let read = parse_request(line.as_bytes());
        assert!(read.is_ok(), "{}: {read:?}", path.display());
    }
}

#[test]
fn another_version_is_named() {
    let error = parse_request(br#"{"v":99,"request":{"do":"something_new"}}"#).unwrap_err();
    assert!(error.contains("version 99"), "{error}");
}
