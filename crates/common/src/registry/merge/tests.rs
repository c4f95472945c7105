use proptest::prelude::*;

use super::*;
use crate::clock;

fn status(id: &str, generation: u64, state: State) -> Status {
    let instance = serde_json::json!({
        "service": "product-service", "id": id, "address": "172.21.0.130", "port": 5000, "generation": generation,
    });
    Status {
        instance: serde_json::from_value(instance).unwrap(),
        state,
    }
}

fn changed(status: Status) -> Change {
    let (service, id) = key(&status);
    Change {
        revision: 2,
        service,
        id,
        instance: Some(status),
    }
}

fn gone(id: &str) -> Change {
    Change {
        revision: 2,
        service: "product-service".parse().unwrap(),
        id: id.parse().unwrap(),
        instance: None,
    }
}

fn replica(number: u16) -> SocketAddr {
    ([127, 0, 0, 1], number).into()
}

fn ids(views: &Views) -> Vec<String> {
    views
        .merged()
        .of("product-service")
        .iter()
        .map(|endpoint| endpoint.id.to_string())
        .collect()
}

#[test]
fn the_union_of_what_passes_with_draining_and_higher_generations_first() {
    let (mut views, now) = (Views::default(), clock::now());
    views.snapshot(
        replica(1),
        "a",
        vec![
            status("p1", 1, State::Passing),
            status("p2", 1, State::Passing),
        ],
        now,
    );
    views.snapshot(
        replica(2),
        "b",
        vec![
            status("p2", 1, State::Draining),
            status("p3", 1, State::Passing),
            status("p1", 1, State::Critical),
        ],
        now,
    );
    assert_eq!(ids(&views), ["p1", "p3"]);
    views.change(replica(2), changed(status("p1", 2, State::Warming)));
    assert_eq!(ids(&views), ["p3"], "the newer generation is not ready yet");
    views.change(replica(2), changed(status("p1", 2, State::Passing)));
    assert_eq!(views.merged().of("product-service")[0].generation, 2);
    views.change(replica(2), gone("p3"));
    assert_eq!(ids(&views), ["p1"]);
}

#[test]
fn the_last_known_good_view_stays_while_every_replica_is_away() {
    let (mut views, now) = (Views::default(), clock::now());
    assert!(!views.merged().is_known());
    views.snapshot(replica(1), "a", vec![status("p1", 1, State::Passing)], now);
    views.snapshot(replica(2), "b", vec![status("p2", 1, State::Passing)], now);
    let later = now + SETTLE;
    views.disconnected(replica(1), later);
    assert_eq!(
        ids(&views),
        ["p2"],
        "a replica that is away does not count beside one that answers"
    );
    views.disconnected(replica(2), later);
    assert_eq!(ids(&views), ["p1", "p2"]);
    views.connected(replica(2), later);
    assert_eq!(ids(&views), ["p2"]);
}

#[test]
fn a_restarted_registry_does_not_empty_the_view() {
    let (mut views, now) = (Views::default(), clock::now());
    let before = ["p1", "p2", "p3", "p4"]
        .map(|id| status(id, 1, State::Passing))
        .into();
    views.snapshot(replica(1), "a", before, now);
    views.disconnected(replica(1), now);
    views.connected(replica(1), now);
    views.snapshot(replica(1), "b", vec![], now);
    assert_eq!(ids(&views).len(), 4);
    views.change(replica(1), changed(status("p1", 1, State::Warming)));
    views.change(replica(1), changed(status("p2", 1, State::Draining)));
    views.change(replica(1), changed(status("p3", 1, State::Passing)));
    assert_eq!(
        ids(&views),
        ["p1", "p3", "p4"],
        "draining is a verdict, warming is none"
    );
    views.change(replica(1), changed(status("p1", 1, State::Critical)));
    assert_eq!(ids(&views), ["p3", "p4"]);
    assert_eq!(views.next_deadline(), Some(now + SETTLE));
    views.settle(now + SETTLE);
    assert_eq!(ids(&views), ["p3"], "nobody confirmed p4 in time");
    assert_eq!(views.next_deadline(), None);
}

/// Two rolling updates of the registry, and of those whom it knows in between.
#[test]
fn what_a_replica_knew_that_is_gone_does_not_come_back() {
    let (mut views, now) = (Views::default(), clock::now());
    views.snapshot(replica(1), "a", vec![status("p1", 1, State::Passing)], now);
    views.disconnected(replica(1), now);
    views.forget(replica(1));
    assert_eq!(ids(&views), ["p1"], "it is all that is known");
    views.snapshot(replica(2), "b", vec![], now);
    assert_eq!(ids(&views), ["p1"], "handed over");
    views.change(replica(2), changed(status("p1", 1, State::Passing)));
    views.change(replica(2), changed(status("p2", 1, State::Passing)));
    views.change(replica(2), gone("p1"));
    let later = now + SETTLE;
    views.settle(later);
    views.disconnected(replica(2), later);
    assert_eq!(ids(&views), ["p2"], "nobody answers");
    views.forget(replica(2));
    views.snapshot(replica(3), "c", vec![], later);
    assert_eq!(ids(&views), ["p2"], "p1 has long left");

    // One that answers again, with what it knew, is enough, too.
    views.disconnected(replica(3), later);
    views.snapshot(
        replica(4),
        "d",
        vec![status("p2", 1, State::Passing)],
        later,
    );
    views.disconnected(replica(4), later);
    views.forget(replica(3));
    views.connected(replica(4), later);
    views.change(replica(4), gone("p2"));
    views.disconnected(replica(4), later);
    assert!(ids(&views).is_empty(), "p2 has left");
}

/// A rolling update of the registry: the new replica is up when the last one that knew everybody ends.
#[test]
fn a_replica_that_knew_everybody_hands_over_to_one_that_does_not_yet() {
    let (mut views, now) = (Views::default(), clock::now());
    let everybody: Vec<_> = ["p1", "p2", "p3", "p4"]
        .map(|id| status(id, 1, State::Passing))
        .into();
    views.snapshot(replica(1), "a", everybody.clone(), now);
    let later = now + SETTLE;
    views.snapshot(
        replica(2),
        "b",
        vec![status("p4", 1, State::Draining)],
        later,
    );
    views.disconnected(replica(1), later);
    views.forget(replica(1));
    assert_eq!(ids(&views), ["p1", "p2", "p3"], "p4 has said otherwise");
    views.change(replica(2), changed(status("p1", 1, State::Passing)));
    views.change(replica(2), gone("p2"));
    assert_eq!(ids(&views), ["p1", "p3"], "p2 has left");
    views.settle(later + SETTLE);
    assert_eq!(ids(&views), ["p1"], "nobody confirmed p3 in time");

    // The other order: gone before the new one is found, as when the name of the registry changes hands.
    let mut views = Views::default();
    views.snapshot(replica(1), "a", everybody.clone(), now);
    views.disconnected(replica(1), later);
    views.snapshot(replica(2), "b", vec![], later);
    views.forget(replica(1));
    assert_eq!(ids(&views).len(), 4);

    // Somebody who knows everybody is enough.
    let mut views = Views::default();
    views.snapshot(replica(1), "a", everybody, now);
    views.snapshot(replica(2), "b", vec![status("p1", 1, State::Passing)], now);
    views.snapshot(replica(3), "c", vec![], later);
    views.disconnected(replica(1), later);
    assert_eq!(ids(&views), ["p1"]);
}

#[test]
fn the_same_epoch_is_believed_at_once() {
    let (mut views, now) = (Views::default(), clock::now());
    views.snapshot(replica(1), "a", vec![status("p1", 1, State::Passing)], now);
    views.snapshot(replica(1), "a", vec![], now);
    assert_eq!(ids(&views), [""; 0]);
}

fn any_state() -> impl Strategy<Value = State> {
    prop_oneof![
        Just(State::Warming),
        Just(State::Passing),
        Just(State::Critical),
        Just(State::Draining)
    ]
}

proptest! {
    /// The merged view is what its definition says, in whatever order the replicas speak.
    #[test]
    fn merging_is_the_definition(said in proptest::collection::vec((1_u16..4, 0_usize..3, 1_u64..3, any_state()), 0..20)) {
        let (mut views, now) = (Views::default(), clock::now());
        for number in 1..4 {
            views.snapshot(replica(number), "e", vec![], now);
        }
        let mut last = BTreeMap::new();
        for (number, id, generation, state) in said {
            let status = status(["p1", "p2", "p3"][id], generation, state);
            views.change(replica(number), changed(status.clone()));
            last.insert((id, number), status);
        }
        for (id, name) in ["p1", "p2", "p3"].into_iter().enumerate() {
            let of_id: Vec<_> = last.iter().filter(|((of, _), _)| *of == id).map(|(_, status)| status).collect();
            let newest = of_id.iter().map(|status| status.instance.generation).max();
            let states: Vec<_> = of_id.iter().filter(|s| Some(s.instance.generation) == newest).map(|s| s.state).collect();
            let expected = states.contains(&State::Passing) && !states.contains(&State::Draining);
            prop_assert_eq!(ids(&views).contains(&name.to_owned()), expected);
        }
    }
}
