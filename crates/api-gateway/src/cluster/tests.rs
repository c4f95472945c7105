use super::*;
use crate::endpoint::InFlight;

fn cluster(now: Instant) -> Cluster {
    Cluster::new(
        "product-service",
        Policy::RoundRobin,
        EjectionConfig::default(),
        &RetryConfig::default(),
        now,
    )
}

fn target(id: &str, port: u16) -> Target {
    Target {
        id: id.into(),
        generation: 1,
        address: ([127, 0, 0, 1], port).into(),
    }
}

fn order(cluster: &Cluster, now: Instant, n: usize) -> String {
    (0..n)
        .map(|_| {
            cluster
                .pick(now)
                .map_or_else(|| "-".to_owned(), |pick| pick.endpoint.id().to_owned())
        })
        .collect()
}

#[test]
fn the_turn_survives_an_unchanged_snapshot_in_another_order() {
    let now = common::clock::now();
    let cluster = cluster(now);
    assert!(cluster.pick(now).is_none());
    cluster.apply(vec![target("b", 2), target("a", 1), target("c", 3)], now);
    let first = order(&cluster, now, 4);
    cluster.apply(vec![target("c", 3), target("b", 2), target("a", 1)], now);
    let second = order(&cluster, now, 2);
    assert_eq!(
        format!("{first}{second}").chars().fold([0; 3], |mut n, c| {
            n[c as usize - 97] += 1;
            n
        }),
        [2, 2, 2]
    );
}

#[test]
fn an_instance_that_left_gets_nothing_new_and_is_shown_until_it_is_done() {
    let now = common::clock::now();
    let cluster = cluster(now);
    cluster.apply(vec![target("a", 1), target("b", 2)], now);
    let running = InFlight::begin(Arc::clone(&cluster.members.load().named[0]));
    cluster.apply(vec![target("b", 2)], now);
    assert_eq!(order(&cluster, now, 3), "bbb");
    let states = || {
        serde_json::to_value(cluster.report(now)).unwrap()["instances"]
            .as_array()
            .unwrap()
            .iter()
            .map(|i| i["state"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(states(), ["active", "draining"]);
    drop(running);
    assert_eq!(states(), ["active"]);
    cluster.apply(vec![], now);
    assert!(!cluster.is_served() && cluster.pick(now).is_none());
}

#[test]
fn an_ejected_instance_returns_in_time_and_all_ejected_means_none() {
    let now = common::clock::now();
    let cluster = cluster(now);
    cluster.apply(vec![target("a", 1), target("b", 2)], now);
    let eject = |id: &str, now| {
        let endpoint = cluster
            .members
            .load()
            .named
            .iter()
            .find(|endpoint| endpoint.id() == id)
            .unwrap()
            .clone();
        for _ in 0..5 {
            cluster.failed(&endpoint, now);
        }
    };
    eject("a", now);
    assert_eq!(order(&cluster, now, 3), "bbb");
    eject("b", now);
    assert!(order(&cluster, now, 4).contains("ab"));
    let later = now + Duration::from_millis(1_001);
    assert!(order(&cluster, later, 4).contains("ab"));
    assert_eq!(
        serde_json::to_value(cluster.report(now)).unwrap()["instances"][0]["state"],
        "ejected"
    );
}

#[test]
fn a_retry_goes_elsewhere_and_takes_no_turn() {
    let now = common::clock::now();
    let cluster = cluster(now);
    cluster.apply(vec![target("a", 1), target("b", 2), target("c", 3)], now);
    let first = cluster.pick(now).unwrap();
    let second = cluster
        .pick_another(&first, std::slice::from_ref(&first.endpoint))
        .unwrap();
    assert_ne!(first.endpoint.id(), second.endpoint.id());
    let tried = [Arc::clone(&first.endpoint), Arc::clone(&second.endpoint)];
    let third = cluster.pick_another(&second, &tried).unwrap();
    assert!(
        cluster
            .pick_another(
                &third,
                &[&tried[..], &[Arc::clone(&third.endpoint)]].concat()
            )
            .is_none()
    );
    assert_eq!(cluster.pick(now).unwrap().endpoint.id(), "b");
}
